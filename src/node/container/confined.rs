//! The last step before a container's command: its system calls are confined.
//!
//! The runtime that the binary carries is built without its C library for this, so that the
//! programs are loaded here, in the process that becomes the command, after everything that they
//! would forbid. Loading needs either `no_new_privs` or `CAP_SYS_ADMIN`: where the command may gain
//! privileges, the runtime leaves that capability to this step ([`widen`]), which takes it away.

use std::io;
use std::rc::Rc;

use libcontainer::workload::default::get_executor;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::libc;
use oci_spec::runtime::{Capabilities, Capability, Spec};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use seccompiler::BpfProgram;

use super::seccomp;

/// Runs a command as the runtime does, confined.
#[derive(Clone)]
pub struct Confined {
    programs: Rc<Vec<BpfProgram>>,
}

impl Confined {
    /// By the container's configuration.
    pub fn by(spec: &Spec) -> Result<Self, seccomp::SeccompError> {
        let profile = spec.linux().as_ref().and_then(|it| it.seccomp().as_ref());
        let programs = profile.map(seccomp::programs).transpose()?;
        Ok(Self {
            programs: Rc::new(programs.unwrap_or_default()),
        })
    }

    fn confine(&self, spec: &Spec) -> io::Result<()> {
        if self.programs.is_empty() {
            return Ok(());
        }
        for program in self.programs.iter() {
            load(program)?;
        }
        let process = spec.process().as_ref();
        match process.and_then(|it| it.capabilities().as_ref()) {
            Some(sets) => narrow(sets.bounding().as_ref()),
            None => Ok(()),
        }
    }
}

impl Executor for Confined {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        get_executor().exec(spec)
    }

    /// What is refused here ends up in the pod's status; in [`Executor::exec`] it would not.
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        get_executor().validate(spec)?;
        let refused = |error: io::Error| {
            let why = format!("unable to apply the seccomp profile: {error}");
            ExecutorValidationError::ArgValidationError(why)
        };
        self.confine(spec).map_err(refused)
    }
}

/// The capability that loading needs, beside those that the command is to have.
pub fn widen(capabilities: &[String]) -> Vec<String> {
    const NEEDED: &str = "CAP_SYS_ADMIN";
    let mut all = capabilities.to_vec();
    if !all.iter().any(|name| name == NEEDED) {
        all.push(NEEDED.to_owned());
    }
    all
}

/// Takes away what only this step needed: the command has at most what it is bounded to.
fn narrow(bounds: Option<&Capabilities>) -> io::Result<()> {
    let mut kept = CapabilitySet::empty();
    for capability in bounds.into_iter().flatten() {
        kept |= set_of(*capability);
    }
    let now = capabilities(None)?;
    let sets = CapabilitySets {
        effective: now.effective & kept,
        permitted: now.permitted & kept,
        inheritable: now.inheritable & kept,
    };
    Ok(set_capabilities(None, sets)?)
}

/// The same number for the kernel.
fn set_of(capability: Capability) -> CapabilitySet {
    let name = capability.to_string();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    CapabilitySet::from_name(name).unwrap_or(CapabilitySet::empty())
}

#[expect(
    unsafe_code,
    reason = "the one call that loads a program without taking away the gain of privileges is in no \
              library that is safe to call"
)]
fn load(program: &BpfProgram) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut().cast(),
    };
    let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
    // SAFETY: the kernel copies the program, which outlives the call and has as many instructions
    // as is said; they have the kernel's own layout, four fields in eight bytes.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}
