//! Execution providers: asking for them, and seeing which were really used.

use std::ffi::{CStr, c_char};
use std::ptr;

use ort::AsPointer as _;
use ort::ep::ExecutionProviderDispatch;
use ort::ortsys;
use ort::session::Session;

use crate::backend::{Options, Provider};
use crate::error::Error;

/// The key that makes a session remember which provider each node runs on.
pub(crate) const RECORD_ASSIGNMENT: &str = "session.record_ep_graph_assignment_info";

/// What to register for these options, in order. The CPU is always last: it sets the arena, and it runs what others leave.
pub(crate) fn wanted(options: &Options) -> Result<Vec<ExecutionProviderDispatch>, Error> {
    let cpu = ort::ep::CPU::default()
        .with_arena_allocator(options.arena)
        .build();
    options
        .providers
        .iter()
        .filter(|&&provider| provider != Provider::Cpu)
        .map(|&provider| accelerator(provider))
        .chain([Ok(cpu)])
        .map(|dispatch| dispatch.map(ExecutionProviderDispatch::error_on_failure))
        .collect()
}

fn accelerator(provider: Provider) -> Result<ExecutionProviderDispatch, Error> {
    match provider {
        #[cfg(feature = "cuda")]
        Provider::Cuda => Ok(ort::ep::CUDA::default().build()),
        #[cfg(feature = "tensorrt")]
        Provider::TensorRt => Ok(ort::ep::TensorRT::default().build()),
        provider => Err(Error::load(format!(
            "the execution provider `{provider}` is demanded, and this build of the worker does not include it"
        ))),
    }
}

/// The providers that nodes of this session run on, the preferred first. Fails when the preferred one is an accelerator
/// and runs nothing: that would be a silent fall-back.
pub(crate) fn used(session: &Session, options: &Options) -> Result<Vec<String>, Error> {
    let assigned = assigned(session).map_err(|source| Error::Load {
        message: "the runtime does not say on which execution providers the model runs".to_owned(),
        source: Some(Box::new(source)),
    })?;
    let mut used: Vec<String> = Vec::new();
    for name in assigned.iter().map(|name| text_form(name)) {
        if !used.iter().any(|known| known == name) {
            used.push(name.to_owned());
        }
    }
    let Some(&preferred) = options.providers.first() else {
        return Ok(used);
    };
    if used.is_empty() {
        // Everything was computed while loading; what is left to run is nothing.
        used.push(preferred.as_str().to_owned());
    } else if !used.iter().any(|name| name == preferred.as_str()) {
        return Err(Error::load(format!(
            "the execution provider `{preferred}` is demanded, and it runs no part of this model"
        )));
    }
    let place = |name: &String| {
        let known = options
            .providers
            .iter()
            .position(|provider| provider.as_str() == name);
        known.unwrap_or(usize::MAX)
    };
    used.sort_by_key(place);
    Ok(used)
}

fn text_form(name: &str) -> &str {
    match name {
        "CPUExecutionProvider" => Provider::Cpu.as_str(),
        "CUDAExecutionProvider" => Provider::Cuda.as_str(),
        "TensorrtExecutionProvider" => Provider::TensorRt.as_str(),
        other => other,
    }
}

#[expect(unsafe_code, reason = "the binding has no safe form of these functions yet")]
fn assigned(session: &Session) -> ort::Result<Vec<String>> {
    let inner = session.inner();
    let mut parts = ptr::null();
    let mut count = 0;
    // SAFETY: the session lives, and the two out-pointers are valid; the array belongs to the session.
    ortsys![unsafe Session_GetEpGraphAssignmentInfo(inner.ptr(), &raw mut parts, &raw mut count)?];
    (0..count)
        .map(|index| {
            let mut name: *const c_char = ptr::null();
            // SAFETY: `parts` has `count` valid elements; the name is a string that belongs to the session.
            ortsys![unsafe EpAssignedSubgraph_GetEpName(*parts.add(index), &raw mut name)?];
            // SAFETY: the call above succeeded, so `name` is a string that ends with a null byte.
            Ok(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
        })
        .collect()
}

/// The providers that the library was built with.
#[expect(unsafe_code, reason = "the binding only tells whether a known one is there")]
pub(crate) fn available() -> Result<Vec<String>, Error> {
    let list = || -> ort::Result<Vec<String>> {
        let mut names = ptr::null_mut();
        let mut count = 0;
        // SAFETY: both out-pointers are valid.
        ortsys![unsafe GetAvailableProviders(&raw mut names, &raw mut count)?];
        let providers = (0..usize::try_from(count).unwrap_or(0))
            // SAFETY: `names` has `count` strings that end with a null byte, until they are released below.
            .map(|index| {
                unsafe { CStr::from_ptr(*names.add(index)) }
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        // SAFETY: this is what came from the call above, released once.
        ortsys![unsafe ReleaseAvailableProviders(names, count)?];
        Ok(providers)
    };
    list().map_err(|source| Error::Failed {
        message: "the runtime does not say which execution providers it has".to_owned(),
        source: Some(Box::new(source)),
    })
}
