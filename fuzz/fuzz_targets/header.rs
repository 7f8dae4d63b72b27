//! A safetensors header: refused, or the tensors tile the data and it can be written again.
#![no_main]

use fouroversix::checkpoint::Header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    // A length that the data would rarely hit by themselves.
    let mut framed = (file.len() as u64).to_le_bytes().to_vec();
    framed.extend_from_slice(file);
    for file in [file, &framed] {
        let Ok(header) = Header::parse(file) else { continue };
        let mut end = 0;
        for entry in &header.entries {
            assert_eq!(entry.range.start, end, "{}", entry.name);
            end = entry.range.end;
            assert_eq!(header.get(&entry.name).map(|e| &e.name), Some(&entry.name));
        }
        assert_eq!(header.data_start + end, file.len() as u64);
        let (again, bytes) = Header::layout(header.entries.clone(), header.metadata.clone());
        let mut whole = bytes;
        whole.resize(whole.len() + end as usize, 0);
        let read = Header::parse(&whole).expect("what is written can be read");
        assert_eq!(read.entries.len(), again.entries.len());
        assert_eq!(read.metadata, header.metadata);
    }
});
