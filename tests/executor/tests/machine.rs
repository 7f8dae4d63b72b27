//! The machine: divergence, calls, collectives, memory and the sanitizer, on small kernels.

use fouroversix_ptx_executor::{ApproxError, Fault, FaultKind, Machine, MemoryKind, Module, Stats};

/// A kernel of one parameter, the address of a buffer, with registers and a body.
fn kernel(prologue: &str, body: &str) -> String {
    format!(
        ".version 8.6\n.target sm_100a\n.address_size 64\n{prologue}\n\
         .visible .entry k(.param .u64 k_param_0)\n{{\n\
         .reg .pred %p<8>;\n.reg .b8 %b<8>;\n.reg .b16 %h<8>;\n.reg .b32 %r<32>;\n\
         .reg .b64 %d<16>;\n\
         ld.param.b64 %d0, [k_param_0];\ncvta.to.global.u64 %d0, %d0;\n\
         mov.u32 %r0, %tid.x;\nmul.wide.u32 %d1, %r0, 4;\nadd.s64 %d1, %d0, %d1;\n\
         {body}\nret;\n}}\n"
    )
}

struct Ran {
    words: Vec<u32>,
    stats: Stats,
}

/// Runs one block of `threads` over a buffer of `words`.
fn run(prologue: &str, body: &str, threads: u32, words: &[u32]) -> Result<Ran, Fault> {
    run_on(&mut Machine::new(), prologue, body, threads, words)
}

fn run_on(
    machine: &mut Machine,
    prologue: &str,
    body: &str,
    threads: u32,
    words: &[u32],
) -> Result<Ran, Fault> {
    let module = Module::parse(&kernel(prologue, body)).expect("the kernel parses");
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let buffer = machine.memory.alloc_from(&bytes);
    let stats =
        machine.launch(&module, "k", [1, 1, 1], [threads, 1, 1], 0, &buffer.to_le_bytes())?;
    let bytes = machine.memory.read(buffer, bytes.len()).expect("the buffer was written");
    let words = bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
    Ok(Ran { words, stats })
}

fn fault(prologue: &str, body: &str, threads: u32, words: usize) -> (FaultKind, String) {
    match run(prologue, body, threads, &vec![0; words]) {
        Ok(_) => panic!("no fault:\n{body}"),
        Err(fault) => (fault.kind().expect("an instruction's fault").clone(), fault.to_string()),
    }
}

fn parse_error(body: &str) -> String {
    Module::parse(&kernel("", body)).expect_err("it parses").to_string()
}

#[test]
fn lanes_part_and_meet_again() {
    // Odd lanes count down from their number; all meet at the shuffle, which needs every lane.
    let body = "
        mov.b32 %r1, 0;
        and.b32 %r2, %r0, 1;
        setp.eq.s32 %p0, %r2, 0;
        mov.b32 %r3, %r0;
        @%p0 bra $join;
    $loop:
        add.s32 %r1, %r1, 2;
        sub.s32 %r3, %r3, 1;
        setp.ne.s32 %p1, %r3, 0;
        @%p1 bra $loop;
    $join:
        shfl.sync.bfly.b32 %r4, %r1, 1, 31, -1;
        st.global.b32 [%d1], %r4;";
    let ran = run("", body, 32, &[0; 32]).unwrap();
    let expected: Vec<u32> = (0..32).map(|i| if i % 2 == 0 { 2 * (i + 1) } else { 0 }).collect();
    assert_eq!(ran.words, expected);
}

#[test]
fn a_cold_block_behind_the_end_rejoins() {
    let body = "
        setp.eq.s32 %p0, %r0, 7;
        @%p0 bra $cold;
        mov.b32 %r1, 1;
    $warm:
        vote.sync.ballot.b32 %r2, %p0, 0xffffffff;
        add.s32 %r2, %r2, %r1;
        st.global.b32 [%d1], %r2;
        ret;
    $cold:
        mov.b32 %r1, 100;
        bra.uni $warm;";
    let ran = run("", body, 32, &[0; 32]).unwrap();
    assert!((0..32).all(|i| ran.words[i] == 128 + if i == 7 { 100 } else { 1 }));
}

#[test]
fn calls_are_inlined_with_their_own_names() {
    let prologue = "
        .func (.param .b32 out) twice(.param .b32 twice_param_0)
        {
        .reg .b32 %r<3>;
        .reg .pred %p<1>;
        ld.param.b32 %r0, [twice_param_0];
        setp.gt.u32 %p0, %r0, 20;
        @%p0 bra $big;
        add.s32 %r1, %r0, %r0;
        st.param.b32 [out], %r1;
        ret;
        $big:
        st.param.b32 [out], 7;
        ret;
        }";
    let body = "
        { .param .b32 param0;
        st.param.b32 [param0], %r0;
        .param .b32 retval0;
        call.uni (retval0), twice, (param0);
        ld.param.b32 %r5, [retval0]; }
        { .param .b32 param0;
        st.param.b32 [param0], %r5;
        .param .b32 retval0;
        call (retval0), twice, (param0);
        ld.param.b32 %r5, [retval0]; }
        st.global.b32 [%d1], %r5;";
    let twice = |x: u32| if x > 20 { 7 } else { 2 * x };
    let ran = run(prologue, body, 32, &[0; 32]).unwrap();
    assert!((0..32).all(|i| ran.words[i as usize] == twice(twice(i))));
}

#[test]
fn recursion_is_refused() {
    let prologue = ".func f() { call f, (); ret; }";
    let error = Module::parse(&kernel(prologue, "call f, ();")).unwrap_err();
    assert!(error.message.contains("recursive"), "{error}");
}

#[test]
fn shared_memory_and_barriers_pass_values_between_warps() {
    let body = "
        .shared .align 4 .b8 tile[256];
        mov.u32 %r1, tile;
        shl.b32 %r2, %r0, 2;
        add.s32 %r3, %r1, %r2;
        st.shared.b32 [%r3], %r0;
        bar.sync 0;
        xor.b32 %r4, %r2, 252;
        add.s32 %r4, %r4, %r1;
        ld.shared.b32 %r5, [%r4];
        st.global.b32 [%d1], %r5;";
    let ran = run("", body, 64, &[0; 64]).unwrap();
    assert!((0..64).all(|i| ran.words[i as usize] == 63 - i));
    let (kind, text) = fault("", &body.replace("bar.sync 0;", ""), 64, 64);
    assert!(
        matches!(kind, FaultKind::UninitializedMemory { memory: MemoryKind::Shared }),
        "{text}"
    );
}

#[test]
fn a_missing_second_barrier_is_a_race() {
    let body = |barrier: &str| {
        format!(
            ".shared .align 4 .b8 tile[256];
            mov.u32 %r1, tile;
            shl.b32 %r2, %r0, 2;
            add.s32 %r3, %r1, %r2;
            st.shared.b32 [%r3], %r0;
            bar.sync 0;
            xor.b32 %r4, %r2, 252;
            add.s32 %r4, %r4, %r1;
            ld.shared.b32 %r5, [%r4];
            {barrier}
            st.shared.b32 [%r3], %r5;"
        )
    };
    run("", &body("bar.sync 0;"), 64, &[0; 64]).unwrap();
    let (kind, text) = fault("", &body(""), 64, 64);
    assert!(matches!(kind, FaultKind::Race { memory: MemoryKind::Shared, .. }), "{text}");
    // Within one warp a warp barrier is enough.
    let one_warp = |barrier| body(barrier).replace("252", "124");
    run("", &one_warp("bar.warp.sync -1;"), 32, &[0; 32]).unwrap();
    let (kind, _) = fault("", &one_warp(""), 32, 32);
    assert!(matches!(kind, FaultKind::Race { .. }));
}

#[test]
fn the_sanitizer_names_instruction_thread_and_address() {
    let (kind, text) = fault("", "st.global.b32 [%d1+120], %r0;", 32, 32);
    assert_eq!(kind, FaultKind::OutOfBounds { memory: MemoryKind::Global, bytes: 4 });
    assert!(text.contains("st.global.b32 [%d1+120], %r0"), "{text}");
    assert!(text.contains("thread [2, 0, 0]") && text.contains("0x200000080"), "{text}");
    let (kind, _) = fault("", "ld.global.b32 %r1, [%d1+2];", 32, 64);
    assert_eq!(kind, FaultKind::Misaligned { bytes: 4 });
    let (kind, _) = fault("", "ld.global.v4.b32 {%r1, %r2, %r3, %r4}, [%d1];", 32, 64);
    assert_eq!(kind, FaultKind::Misaligned { bytes: 16 });
    let (kind, _) = fault("", "add.s32 %r2, %r1, %r0;", 32, 32);
    assert_eq!(kind, FaultKind::UninitializedRegister);
    let (kind, _) = fault("", "st.global.b32 [%d0], %r0;", 32, 32);
    assert!(matches!(kind, FaultKind::Race { after_write: true, other: Some(0), .. }));
    let (kind, _) = fault("", "st.global.b32 [%d1], %r0; ld.global.nc.b32 %r1, [%d1];", 32, 32);
    assert_eq!(kind, FaultKind::NonCoherent);
    let (kind, _) = fault("", "div.u32 %r1, %r0, %r0;", 32, 32);
    assert_eq!(kind, FaultKind::DivisionByZero);
    let (kind, _) = fault("", "trap;", 32, 32);
    assert_eq!(kind, FaultKind::Trap);
    let split = "setp.eq.s32 %p0, %r0, 3; @%p0 bra $a; bar.sync 0; bra.uni $b; $a: bar.sync 0; $b:";
    let (kind, _) = fault("", split, 32, 32);
    assert_eq!(kind, FaultKind::DivergentBarrier);
    let (kind, _) = fault("", "setp.eq.s32 %p0, %r0, 3; @%p0 bar.warp.sync -1;", 32, 32);
    assert_eq!(kind, FaultKind::Deadlock);
}

#[test]
fn shuffles_follow_the_manual() {
    let body = |mode: &str, b: &str, c: &str| {
        format!(
            "shfl.sync.{mode}.b32 %r1|%p0, %r0, {b}, {c}, -1;
            selp.b32 %r2, 100, 0, %p0;
            add.s32 %r1, %r1, %r2;
            st.global.b32 [%d1], %r1;"
        )
    };
    let lanes = |mode, b, c| run("", &body(mode, b, c), 32, &[0; 32]).unwrap().words;
    let expect = |f: &dyn Fn(u32) -> u32| (0..32).map(f).collect::<Vec<u32>>();
    assert_eq!(lanes("up", "3", "0"), expect(&|i| if i < 3 { i } else { i + 97 }));
    assert_eq!(lanes("down", "3", "31"), expect(&|i| if i > 28 { i } else { i + 103 }));
    assert_eq!(lanes("bfly", "5", "31"), expect(&|i| 100 + (i ^ 5)));
    assert_eq!(lanes("idx", "5", "31"), expect(&|_| 105));
    // Segments of 8 lanes: c = ((32 - 8) << 8) | 31.
    assert_eq!(lanes("idx", "9", "6175"), expect(&|i| 100 + (i & 24) + 1));
    assert_eq!(lanes("down", "6", "6175"), expect(&|i| if i % 8 > 1 { i } else { i + 106 }));
}

#[test]
fn votes_matches_and_reductions() {
    let body = "
        and.b32 %r1, %r0, 3;
        match.any.sync.b32 %r2, %r1, -1;
        redux.sync.max.u32 %r3, %r0, -1;
        redux.sync.add.u32 %r4, %r1, -1;
        setp.lt.u32 %p0, %r0, 4;
        vote.sync.ballot.b32 %r5, !%p0, -1;
        activemask.b32 %r6;
        xor.b32 %r2, %r2, %r3;
        xor.b32 %r2, %r2, %r4;
        xor.b32 %r2, %r2, %r5;
        xor.b32 %r2, %r2, %r6;
        st.global.b32 [%d1], %r2;";
    let ran = run("", body, 32, &[0; 32]).unwrap();
    for i in 0..32 {
        let expected = (0x1111_1111 << (i % 4)) ^ 31 ^ 48 ^ 0xffff_fff0 ^ 0xffff_ffff;
        assert_eq!(ran.words[i as usize], expected, "lane {i}");
    }
}

#[test]
fn lanes_of_a_partial_mask_wait_for_each_other_only() {
    let body = "
        setp.lt.u32 %p0, %r0, 16;
        @%p0 bra $low;
        shfl.sync.bfly.b32 %r1, %r0, 1, 31, 0xffff0000;
        bra.uni $end;
    $low:
        shfl.sync.bfly.b32 %r1, %r0, 2, 31, 0x0000ffff;
    $end:
        st.global.b32 [%d1], %r1;";
    let ran = run("", body, 32, &[0; 32]).unwrap();
    assert!((0..32).all(|i| ran.words[i as usize] == i ^ if i < 16 { 2 } else { 1 }));
}

#[test]
fn atomics_do_not_race_with_each_other() {
    let body = "
        red.relaxed.gpu.global.max.u32 [%d0], %r0;
        atom.relaxed.gpu.global.inc.u32 %r1, [%d0+4], 1000;
        atom.global.add.u32 %r2, [%d0+8], %r0;
        atom.global.cas.b32 %r3, [%d0+12], 0, 5;";
    let ran = run("", body, 96, &[0; 4]).unwrap();
    assert_eq!(ran.words, [95, 96, 95 * 96 / 2, 5]);
    let (kind, _) = fault("", "red.global.max.u32 [%d0], %r0; st.global.b32 [%d0], 1;", 32, 4);
    assert!(matches!(kind, FaultKind::Race { .. }));
}

#[test]
fn packed_moves_and_bytes() {
    let body = "
        mov.b32 {%h0, %h1}, 0x12345678;
        mov.b32 %r1, {%h1, %h0};
        cvt.u8.u32 %b0, %r1;
        cvt.u32.u8 %r2, %b0;
        mov.b64 %d2, {%r1, %r2};
        mov.b64 {%r3, %r4}, %d2;
        sub.s32 %r5, %r3, %r4;
        st.global.b32 [%d1], %r5;";
    let ran = run("", body, 1, &[0]).unwrap();
    assert_eq!(ran.words, [0x5678_1234 - 0x34]);
}

#[test]
fn asynchronous_copies_land_when_waited_for() {
    let body = |wait: &str| {
        format!(
            ".shared .align 16 .b8 tile[512];
            mov.u32 %r1, tile;
            shl.b32 %r2, %r0, 4;
            add.s32 %r1, %r1, %r2;
            mul.wide.u32 %d2, %r0, 16;
            add.s64 %d2, %d0, %d2;
            cp.async.cg.shared.global [%r1], [%d2], 16;
            cp.async.commit_group;
            {wait}
            ld.shared.b32 %r3, [%r1+4];
            bar.sync 0;
            st.global.b32 [%d1], %r3;"
        )
    };
    let words: Vec<u32> = (0..128).collect();
    let ran = run("", &body("cp.async.wait_group 0;"), 32, &words).unwrap();
    assert!((0..32).all(|i| ran.words[i as usize] == 4 * i + 1));
    let (kind, _) = fault("", &body("cp.async.wait_group 1;"), 32, 128);
    assert!(matches!(kind, FaultKind::UninitializedMemory { memory: MemoryKind::Shared }));
}

#[test]
fn approximate_results_are_off_as_asked() {
    let body = "
        cvt.rn.f32.u32 %r1, %r0;
        add.rn.f32 %r1, %r1, 0f40400000;
        rcp.approx.ftz.f32 %r2, %r1;
        st.global.b32 [%d1], %r2;";
    let results = |error| {
        let mut machine = Machine::new();
        machine.set_approx_error(error);
        run_on(&mut machine, "", body, 32, &[0; 32]).unwrap().words
    };
    let exact = results(ApproxError::Exact);
    assert_eq!(exact[0], (1f32 / 3.0).to_bits());
    let shifted = |by: i64| exact.iter().map(|x| (i64::from(*x) + by) as u32).collect::<Vec<_>>();
    assert_eq!(results(ApproxError::Low), shifted(-1));
    assert_eq!(results(ApproxError::High), shifted(1));
    let random = results(ApproxError::Random(3));
    let off = |by: i64| random.iter().zip(&exact).any(|(r, e)| i64::from(*r) - i64::from(*e) == by);
    assert!(off(-1) && off(0) && off(1));
}

#[test]
fn what_is_not_known_is_refused_with_its_place() {
    let error = parse_error("sin.approx.f32 %r1, %r0;");
    assert!(error.contains("line 17:1") && error.contains("\"sin\""), "{error}");
    assert!(parse_error("fma.rn.sat.f32 %r1, %r0, %r0, %r0;").contains(".sat"));
    assert!(parse_error("add.f32 %r1, %r0, %r0;").contains("undefined"));
    assert!(parse_error("add.rn.f32 %r1, %d0, %r0;").contains("64 bits"));
    assert!(parse_error("add.rn.f32 %r1, %r0;").contains("operands"));
    assert!(parse_error("add.s32 %r1, %r99, %r0;").contains("%r99"));
    assert!(parse_error("bra $nowhere;").contains("nowhere"));
    assert!(parse_error("shfl.bfly.b32 %r1, %r0, 1, 31;").contains(".sync"));
    assert!(parse_error("add.s32 %r1, %r0, ;").contains("operand"));
}

#[test]
fn endless_loops_end() {
    let mut machine = Machine::new();
    machine.set_limit(100_000);
    let error = run_on(&mut machine, "", "$a: bra.uni $a;", 32, &[0]).err().expect("it ends");
    assert_eq!(error.kind(), Some(&FaultKind::InstructionLimit));
}

#[test]
fn every_executed_lane_is_counted() {
    let body = "
        setp.lt.u32 %p0, %r0, 5;
        @%p0 st.global.b32 [%d1], %r0;
        @!%p0 mov.b32 {%h0, %h1}, %r0;";
    let ran = run("", body, 40, &[0; 40]).unwrap();
    // Five instructions lead in; `ret` follows.
    assert_eq!(ran.stats.counts, [40, 40, 40, 40, 40, 40, 5, 35, 40]);
    assert_eq!(ran.stats.lane_instructions, 320);
}

#[test]
fn grids_number_their_blocks_and_threads() {
    let body = "
        mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ctaid.y; mov.u32 %r3, %nctaid.x;
        mad.lo.s32 %r1, %r2, %r3, %r1;
        mov.u32 %r4, %tid.y; mov.u32 %r5, %ntid.x; mov.u32 %r6, %ntid.y;
        mad.lo.s32 %r7, %r4, %r5, %r0;
        mul.lo.s32 %r8, %r5, %r6;
        mad.lo.s32 %r9, %r1, %r8, %r7;
        mul.wide.u32 %d2, %r9, 4;
        add.s64 %d2, %d0, %d2;
        st.global.b32 [%d2], %r9;";
    let module = Module::parse(&kernel("", body)).unwrap();
    for order in [None, Some(1), Some(2)] {
        let mut machine = Machine::new();
        machine.set_order(order);
        let buffer = machine.memory.alloc(4 * 3 * 2 * 5 * 7);
        let param = buffer.to_le_bytes();
        machine.launch(&module, "k", [3, 2, 1], [5, 7, 1], 0, &param).unwrap();
        let bytes = machine.memory.read(buffer, 840).expect("every word was written");
        for (i, word) in bytes.chunks_exact(4).enumerate() {
            assert_eq!(word, (i as u32).to_le_bytes());
        }
    }
}

/// Four 8x8 matrices of 16 bits, element (row, column) of matrix i numbered `100·i + 8·row + column`,
/// loaded with `ldmatrix`; the words that each lane receives.
fn load_matrices(transposed: bool) -> Vec<[u32; 4]> {
    let prologue = ".extern .shared .align 16 .b8 tile[];";
    let trans = if transposed { ".trans" } else { "" };
    // Lane 8i + r stores row r of matrix i, and gives its address.
    let body = format!(
        "mov.u32 %r1, tile;
        shl.b32 %r2, %r0, 4;
        add.s32 %r1, %r1, %r2;
        shr.u32 %r3, %r0, 3;
        mul.lo.s32 %r3, %r3, 100;
        and.b32 %r4, %r0, 7;
        shl.b32 %r4, %r4, 3;
        add.s32 %r3, %r3, %r4;
        mul.lo.s32 %r3, %r3, 65537;
        add.s32 %r5, %r3, 65536;
        add.s32 %r6, %r3, 196610;
        add.s32 %r7, %r3, 327684;
        add.s32 %r8, %r3, 458758;
        st.shared.v4.b32 [%r1], {{%r5, %r6, %r7, %r8}};
        bar.sync 0;
        ldmatrix.sync.aligned.m8n8.x4{trans}.shared.b16 {{%r10, %r11, %r12, %r13}}, [%r1];
        mul.wide.u32 %d2, %r0, 16;
        add.s64 %d2, %d0, %d2;
        st.global.v4.b32 [%d2], {{%r10, %r11, %r12, %r13}};"
    );
    let module = Module::parse(&kernel(prologue, &body)).expect("the kernel parses");
    let mut machine = Machine::new();
    let buffer = machine.memory.alloc(512);
    machine
        .launch(&module, "k", [1, 1, 1], [32, 1, 1], 512, &buffer.to_le_bytes())
        .expect("no fault");
    let bytes = machine.memory.read(buffer, 512).expect("written");
    let word = |b: &[u8]| u32::from_le_bytes(b.try_into().unwrap());
    bytes.chunks_exact(16).map(|lane| [0, 4, 8, 12].map(|i| word(&lane[i..i + 4]))).collect()
}

#[test]
fn matrices_are_spread_over_the_lanes() {
    for transposed in [false, true] {
        for (lane, words) in load_matrices(transposed).iter().enumerate() {
            let (row, column) = (lane / 4, 2 * (lane % 4));
            for (i, word) in words.iter().enumerate() {
                let element = |a: usize, b: usize| {
                    let (row, column) = if transposed { (b, a) } else { (a, b) };
                    (100 * i + 8 * row + column) as u32
                };
                let expected = element(row, column) | element(row, column + 1) << 16;
                assert_eq!(*word, expected, "lane {lane}, matrix {i}, transposed {transposed}");
            }
        }
    }
}

/// Registers share slots of the executor's register file: what another one left there is no value.
#[test]
fn what_another_register_left_is_not_initialized() {
    // %r3 is used up before %r5 is written, in odd lanes alone.
    let used_up = "mov.b32 %r3, 7;\nst.global.b32 [%d1], %r3;\nand.b32 %r4, %r0, 1;\n\
                   setp.eq.s32 %p0, %r4, 1;\n";
    let written = "@%p0 mov.b32 %r5, 1;\n";
    let read = "add.s32 %r6, %r5, 1;\nst.global.b32 [%d1], %r6;";
    let (kind, message) = fault("", &format!("{used_up}{written}{read}"), 2, 2);
    assert_eq!(kind, FaultKind::UninitializedRegister);
    assert!(message.contains("thread [0, 0, 0]"), "{message}");
    // A loop whose first turn reads what its first turn writes at its end.
    let turns = format!(
        "{used_up}mov.b32 %r7, 0;\n$loop:\nsetp.eq.s32 %p1, %r7, 1;\n\
         @%p1 add.s32 %r6, %r5, 1;\n@%p0 mov.b32 %r5, 1;\nadd.s32 %r7, %r7, 1;\n\
         setp.lt.s32 %p2, %r7, 2;\n@%p2 bra $loop;"
    );
    let (kind, message) = fault("", &turns, 2, 2);
    assert_eq!(kind, FaultKind::UninitializedRegister);
    assert!(message.contains("thread [0, 0, 0]"), "{message}");
}

/// A fault is at the first byte that is wrong, whatever the accesses before it were.
#[test]
fn bytes_within_a_word_have_histories_of_their_own() {
    // Thread 0 writes bytes 0 to 7 and thread 1 byte 9, then thread 1 reads a word of both.
    let body = "
        setp.eq.s32 %p0, %r0, 0;
        mov.b32 %r1, 0;
        @%p0 st.global.v2.b32 [%d0], {%r1, %r1};
        @!%p0 st.global.b8 [%d0+9], %r1;
        @!%p0 ld.global.b32 %r2, [%d0+8];
        @!%p0 ld.global.b32 %r2, [%d0+4];";
    let (kind, message) = fault("", body, 2, 4);
    assert!(matches!(kind, FaultKind::Race { after_write: true, other: Some(0), .. }), "{kind:?}");
    assert!(message.contains("%d0+4"), "{message}");
}
