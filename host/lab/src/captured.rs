//! Launches as a CUDA graph.

use std::sync::Arc;

use cudarc::driver::{CudaGraph, CudaStream, sys};
use fouroversix::Error;
use fouroversix::cuda::internals::check;

/// What `enqueue` enqueues on `stream`, as a graph; it must not outlive the memory that the launches name.
pub(crate) fn captured(
    stream: &Arc<CudaStream>,
    enqueue: impl FnOnce() -> Result<(), Error>,
) -> Result<CudaGraph, Error> {
    let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
    check("begin a capture", stream.begin_capture(mode))?;
    let enqueued = enqueue();
    // The capture ends also when a launch failed.
    let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0));
    enqueued?;
    Ok(check("instantiate a graph", graph)?.expect("a capture gives a graph"))
}
