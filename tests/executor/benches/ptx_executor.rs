//! Speed of the PTX executor: lane-instructions a second on one core.
//!
//! `cargo bench -p fouroversix-ptx-executor`

use std::time::Instant;

use fouroversix_ptx_executor::{Machine, Module};

/// Arithmetic such as quantization does, a shuffle and a load and a store for every 40 instructions.
const ARITHMETIC: &str = "
.version 8.0
.target sm_80
.address_size 64
.visible .entry arithmetic(.param .u64 arithmetic_param_0)
{
.reg .pred %p<2>;
.reg .b32 %r<32>;
.reg .b64 %d<4>;
ld.param.b64 %d0, [arithmetic_param_0];
mov.u32 %r0, %tid.x;
mov.u32 %r1, %ctaid.x;
mad.lo.s32 %r1, %r1, 128, %r0;
mul.wide.u32 %d1, %r1, 4;
add.s64 %d1, %d0, %d1;
mov.b32 %r2, 0;
$loop:
ld.global.b32 %r4, [%d1];
BODY
shfl.sync.bfly.b32 %r5, %r4, 1, 31, -1;
max.f32 %r4, %r4, %r5;
st.global.b32 [%d1], %r4;
add.s32 %r2, %r2, 1;
setp.lt.u32 %p0, %r2, 200;
@%p0 bra $loop;
ret;
}";

const STEP: &str = "
mul.rn.f32 %r6, %r4, 0f3F000000;
abs.f32 %r7, %r6;
max.f32 %r7, %r7, 0f3F800000;
and.b32 %r8, %r7, 2139095040;
fma.rn.f32 %r9, %r8, 0f4AC00000, %r6;
fma.rn.f32 %r9, %r8, 0fCAC00000, %r9;
sub.rn.f32 %r10, %r9, %r6;
cvt.rn.f16x2.f32 %r11, %r10, %r9;
shr.u32 %r11, %r11, 9;
lop3.b32 %r11, %r11, 1879048192, %r8, 234;
add.rn.f32 %r4, %r9, %r10;
";

fn main() {
    let text = ARITHMETIC.replace("BODY", &STEP.repeat(3));
    let module = Module::parse(&text).expect("the benchmark's kernel parses");
    let mut machine = Machine::new();
    let values: Vec<u8> = (0..1024u32).flat_map(|i| (i as f32 * 0.01).to_le_bytes()).collect();
    let buffer = machine.memory.alloc_from(&values).to_le_bytes();
    for round in 0..3 {
        let start = Instant::now();
        let stats = machine
            .launch(&module, "arithmetic", [8, 1, 1], [128, 1, 1], 0, &buffer)
            .expect("the benchmark's kernel runs");
        let seconds = start.elapsed().as_secs_f64();
        let millions = stats.lane_instructions as f64 / 1e6;
        println!(
            "round {round}: {millions:.1} million lane-instructions in {:.1} ms, {:.0} million/s",
            seconds * 1e3,
            millions / seconds
        );
    }
}
