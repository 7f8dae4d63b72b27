//! Quantizes tensors that live in device memory, on the program's own stream.
//!
//! `cargo run --release -p fouroversix --features cudarc --example 06_quantize_on_stream`

use cudarc::driver::{CudaContext, DevicePtr};
use fouroversix::cuda::{AmaxSource, Device, OutputAddresses, QuantizeAddresses};
use fouroversix::{Config, InputType, Rule};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Where there is no driver this is an error; cudarc itself would panic below.
    if let Err(error) = fouroversix::cuda::devices() {
        eprintln!("nothing to show: {error}");
        return Ok(());
    }
    // The context and stream may come from anywhere: here they are the program's, through cudarc.
    let context = CudaContext::new(0)?;
    let stream = context.new_stream()?;
    let device = Device::with_context(context)?;

    let (config, shape) = (Config::rowwise(Rule::MSE_FAST), [256, 1024]);
    // Checks the shape and loads the kernels, once.
    let quantizer = device.quantizer(&config, InputType::F32, shape, AmaxSource::Input)?;
    let mut out = quantizer.allocate(&stream)?;

    let input: Vec<f32> = (0..256 * 1024).map(|i| (i as f32 * 0.01).sin()).collect();
    let on_device = stream.clone_htod(&input)?;
    // The amax pass and the quantization go onto the stream; the host does not wait.
    quantizer.quantize(&stream, &on_device, None, &mut out)?;
    let from_slices = out.to_host(&stream)?.into_one().expect("one output is configured");
    assert_eq!(from_slices, fouroversix::quantize(&input, shape, &config)?);

    // The same with addresses, as any other CUDA crate or a foreign caller has them.
    let tensor = out.rowwise().expect("rowwise output is configured");
    let workspace = stream.alloc_zeros::<u8>(quantizer.workspace_bytes())?;
    let addresses = QuantizeAddresses {
        input: on_device.device_ptr(&stream).0,
        rowwise: OutputAddresses {
            codes: tensor.codes().device_ptr(&stream).0,
            scales: tensor.scales().device_ptr(&stream).0,
        },
        workspace: workspace.device_ptr(&stream).0,
        ..QuantizeAddresses::default()
    };
    // SAFETY: the memory has the lengths that the shape asks for, belongs to this context, lives
    // until the stream is done, and nothing else uses it.
    unsafe { quantizer.launch(&addresses, stream.cu_stream())? };
    let from_addresses = out.to_host(&stream)?.into_one();
    assert_eq!(from_addresses.as_ref(), Some(&from_slices));

    println!(
        "{}: {} bytes of codes, {} of scales, amax {}",
        device.info().name,
        from_slices.codes().len(),
        from_slices.scales().len(),
        from_slices.global_amax()[0]
    );
    Ok(())
}
