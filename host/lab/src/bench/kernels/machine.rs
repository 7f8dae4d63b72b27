//! Where a measurement was taken.

use std::time::SystemTime;

use fouroversix::cuda::Device;

/// The machine and build of a measurement.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Machine {
    /// The device's name.
    pub device: String,
    /// Its compute capability, for example `9.0`.
    pub compute_capability: String,
    /// Its memory in MiB.
    pub memory_mib: u64,
    /// Its streaming multiprocessors.
    pub multiprocessors: u32,
    /// Its L2 cache in MiB.
    pub l2_mib: u64,
    /// The kernels that ran, for example `sm_89`.
    pub instruction_set: String,
    /// The driver and the CUDA version that it supports.
    pub driver: String,
    /// The host's processor and the threads used for checking.
    pub host: String,
    /// The day, in UTC: year-month-day.
    pub date: String,
    /// The commit that was built.
    pub commit: String,
    /// The library's version.
    pub version: String,
}

impl Machine {
    pub(crate) fn describe(device: &Device, commit: Option<&str>) -> Self {
        let info = device.info();
        let ((major, minor), (cuda, cuda_minor)) = (info.compute_capability, info.driver_version);
        let kernel_module = std::fs::read_to_string("/sys/module/nvidia/version");
        let driver = match kernel_module {
            Ok(version) => format!("{}, CUDA {cuda}.{cuda_minor}", version.trim()),
            Err(_) => format!("CUDA {cuda}.{cuda_minor}"),
        };
        Self {
            device: info.name.clone(),
            compute_capability: format!("{major}.{minor}"),
            memory_mib: info.memory >> 20,
            multiprocessors: info.multiprocessors,
            l2_mib: info.l2_cache >> 20,
            instruction_set: device.instruction_set().name().to_owned(),
            driver,
            host: format!("{}, {} threads", processor(), rayon::current_num_threads()),
            date: today(),
            commit: commit.unwrap_or("not given").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl Machine {
    /// A list for the head of a page.
    pub(crate) fn to_markdown(&self) -> String {
        format!(
            "- device: {} (compute capability {}, {} multiprocessors, {} MiB, {} MiB of L2)\n- \
             driver: {}\n- kernels: {}\n- host: {}\n- date: {}\n- commit: {}, version {}\n",
            self.device,
            self.compute_capability,
            self.multiprocessors,
            self.memory_mib,
            self.l2_mib,
            self.driver,
            self.instruction_set,
            self.host,
            self.date,
            self.commit,
            self.version,
        )
    }
}

/// The processor's name as Linux tells it.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |name| name.trim().to_owned())
}

/// The day, as in 2026-11-23.
fn today() -> String {
    let mut now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.truncate("2026-11-23".len());
    now
}
