//! Which system calls a container may make: its profile, and the programs for the kernel that
//! enforce it.
//!
//! A profile is the OCI specification's `linux.seccomp`. Where a pod asks for nothing it is the
//! usual allow list ([`usual`]), as with a kubelet whose `seccompDefault` is on. A program of the
//! kernel has one answer for what it knows and one for the rest, so that a profile of several
//! answers becomes several programs, of whose answers the strictest holds.

mod usual;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::{PodSecurityContext, SeccompProfile, SecurityContext};
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Answer, LinuxSeccompArg, LinuxSeccompOperator as Comparison,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use serde_json::{Value, json};

/// `EPERM` and `ENOSYS`, the same on both architectures.
const NOT_PERMITTED: u32 = 1;
const NOT_THERE: u32 = 38;

/// Calls by number, each with the arguments for which the answer holds; none: always.
type Calls = BTreeMap<i64, Vec<SeccompRule>>;

#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    #[error("cannot load seccomp profile \"{path}\": {reason}")]
    Profile { path: String, reason: String },
    #[error("localhostProfile must be set if seccompProfile type is Localhost")]
    Unnamed,
    #[error("seccomp: {0}")]
    Refused(String),
}

/// The profile of a container; none where it asks to be unconfined or is privileged. `folder` is
/// where the machine's own profiles are.
pub fn profile(
    security: Option<&SecurityContext>,
    pod: Option<&PodSecurityContext>,
    capabilities: &[String],
    folder: &Path,
) -> Result<Option<LinuxSeccomp>, SeccompError> {
    if security.and_then(|it| it.privileged) == Some(true) {
        return Ok(None);
    }
    let asked = security.and_then(|it| it.seccomp_profile.as_ref());
    let asked = asked.or_else(|| pod?.seccomp_profile.as_ref());
    match asked {
        Some(SeccompProfile { type_, .. }) if type_ == "Unconfined" => Ok(None),
        Some(SeccompProfile {
            type_,
            localhost_profile,
        }) if type_ == "Localhost" => {
            let name = localhost_profile.as_deref().ok_or(SeccompError::Unnamed)?;
            let path = folder.join(name);
            let refused = |reason: String| SeccompError::Profile {
                path: path.display().to_string(),
                reason,
            };
            let is_inside = Path::new(name)
                .components()
                .all(|part| matches!(part, std::path::Component::Normal(_)));
            if !is_inside {
                return Err(refused("it is not in its folder".to_owned()));
            }
            let text = fs::read(&path).map_err(|error| refused(error.to_string()))?;
            let profile: LinuxSeccomp =
                serde_json::from_slice(&text).map_err(|error| refused(error.to_string()))?;
            // What cannot be enforced is refused here, where the pod's status can say it.
            programs(&profile).map_err(|error| refused(error.to_string()))?;
            Ok(Some(profile))
        }
        _ => Ok(Some(default(capabilities)?)),
    }
}

/// What a container with these capabilities may where nothing is asked for.
fn default(capabilities: &[String]) -> Result<LinuxSeccomp, SeccompError> {
    let has = |name: &str| capabilities.iter().any(|it| it == name);
    let allow = |names: Vec<&str>, args: Value| json!({"names": names, "action": "SCMP_ACT_ALLOW", "args": args});
    let of = |names: &'static str| names.split_ascii_whitespace().collect::<Vec<_>>();
    let mut calls = vec![allow(of(usual::ALWAYS), json!([]))];
    for (capability, names) in usual::WITH_CAPABILITY {
        if has(capability) {
            calls.push(allow(of(names), json!([])));
        }
    }
    for domain in usual::PERSONALITIES {
        let is = json!([{"index": 0, "value": domain, "op": "SCMP_CMP_EQ"}]);
        calls.push(allow(vec!["personality"], is));
    }
    let is_not = json!([{"index": 0, "value": usual::AF_VSOCK, "op": "SCMP_CMP_NE"}]);
    calls.push(allow(vec!["socket"], is_not));
    if !has("CAP_SYS_ADMIN") {
        let none = json!([{
            "index": 0, "value": usual::NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ",
        }]);
        calls.push(allow(vec!["clone"], none));
        // Its flags are behind a pointer, where no program sees them: who is told that there is no
        // such call tries `clone`.
        calls.push(json!({
            "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": NOT_THERE,
        }));
    }
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": NOT_PERMITTED, "syscalls": calls,
    });
    serde_json::from_value(profile).map_err(|error| SeccompError::Refused(error.to_string()))
}

/// The programs that enforce a profile on this machine.
pub fn programs(profile: &LinuxSeccomp) -> Result<Vec<BpfProgram>, SeccompError> {
    programs_for(profile, std::env::consts::ARCH)
}

fn programs_for(profile: &LinuxSeccomp, machine: &str) -> Result<Vec<BpfProgram>, SeccompError> {
    let target = TargetArch::try_from(machine);
    let target = target.map_err(|error| SeccompError::Refused(error.to_string()))?;
    let otherwise = action(profile.default_action(), profile.default_errno_ret())?;
    let mut known = Calls::new();
    let mut answers: Vec<(SeccompAction, Calls)> = Vec::new();
    for rule in profile.syscalls().iter().flatten() {
        let answer = action(rule.action(), rule.errno_ret())?;
        if answer == otherwise {
            continue;
        }
        let place = answers.iter().position(|(other, _)| *other == answer);
        let place = place.unwrap_or_else(|| {
            answers.push((answer, Calls::new()));
            answers.len() - 1
        });
        let rules = rules(rule.args().as_deref().unwrap_or_default())?;
        for number in rule.names().iter().filter_map(|name| number(target, name)) {
            add(&mut known, number, &rules);
            if let Some((_, calls)) = answers.get_mut(place) {
                add(calls, number, &rules);
            }
        }
    }
    let mut programs = Vec::new();
    let mut compile = |calls: Calls, otherwise: SeccompAction, answer: SeccompAction| {
        let refused = |error: &dyn std::fmt::Display| SeccompError::Refused(error.to_string());
        let filter = SeccompFilter::new(calls, otherwise, answer, target);
        let filter = filter.map_err(|error| refused(&error))?;
        programs.push(BpfProgram::try_from(filter).map_err(|error| refused(&error))?);
        Ok(())
    };
    if otherwise != SeccompAction::Allow {
        compile(known, otherwise, SeccompAction::Allow)?;
    }
    for (answer, calls) in answers {
        if answer != SeccompAction::Allow {
            compile(calls, SeccompAction::Allow, answer)?;
        }
    }
    Ok(programs)
}

/// A call that is answered always is not answered sometimes.
fn add(calls: &mut Calls, number: i64, rules: &[SeccompRule]) {
    match calls.get_mut(&number) {
        Some(there) if there.is_empty() => {}
        Some(there) if rules.is_empty() => there.clear(),
        Some(there) => there.extend_from_slice(rules),
        None => drop(calls.insert(number, rules.to_vec())),
    }
}

/// All of the arguments must be as said; an argument that is named twice is one or the other.
fn rules(arguments: &[LinuxSeccompArg]) -> Result<Vec<SeccompRule>, SeccompError> {
    if arguments.is_empty() {
        return Ok(Vec::new());
    }
    let refused = |error: seccompiler::BackendError| SeccompError::Refused(error.to_string());
    let conditions = arguments.iter().map(|argument| {
        let index = u8::try_from(argument.index()).unwrap_or(u8::MAX);
        let (first, second) = (argument.value(), argument.value_two().unwrap_or(0));
        let (comparison, value) = match argument.op() {
            Comparison::ScmpCmpNe => (SeccompCmpOp::Ne, first),
            Comparison::ScmpCmpLt => (SeccompCmpOp::Lt, first),
            Comparison::ScmpCmpLe => (SeccompCmpOp::Le, first),
            Comparison::ScmpCmpEq => (SeccompCmpOp::Eq, first),
            Comparison::ScmpCmpGe => (SeccompCmpOp::Ge, first),
            Comparison::ScmpCmpGt => (SeccompCmpOp::Gt, first),
            Comparison::ScmpCmpMaskedEq => (SeccompCmpOp::MaskedEq(first), second),
        };
        SeccompCondition::new(index, SeccompCmpArgLen::Qword, comparison, value)
    });
    let conditions: Vec<SeccompCondition> =
        conditions.collect::<Result<_, _>>().map_err(refused)?;
    let mut indices: Vec<usize> = arguments.iter().map(LinuxSeccompArg::index).collect();
    indices.sort_unstable();
    indices.dedup();
    let alternatives = if indices.len() == arguments.len() {
        vec![conditions]
    } else {
        conditions.into_iter().map(|one| vec![one]).collect()
    };
    let rules = alternatives.into_iter().map(SeccompRule::new);
    rules.collect::<Result<_, _>>().map_err(refused)
}

fn action(answer: Answer, number: Option<u32>) -> Result<SeccompAction, SeccompError> {
    Ok(match answer {
        Answer::ScmpActKill | Answer::ScmpActKillThread => SeccompAction::KillThread,
        Answer::ScmpActKillProcess => SeccompAction::KillProcess,
        Answer::ScmpActTrap => SeccompAction::Trap,
        Answer::ScmpActErrno => SeccompAction::Errno(number.unwrap_or(NOT_PERMITTED)),
        Answer::ScmpActTrace => SeccompAction::Trace(number.unwrap_or(NOT_PERMITTED)),
        Answer::ScmpActLog => SeccompAction::Log,
        Answer::ScmpActAllow => SeccompAction::Allow,
        Answer::ScmpActNotify => {
            let why = "SCMP_ACT_NOTIFY is not supported: nobody would answer";
            return Err(SeccompError::Refused(why.to_owned()));
        }
    })
}

/// A call's number; none where the architecture does not have it.
fn number(target: TargetArch, name: &str) -> Option<i64> {
    let id = match target {
        TargetArch::x86_64 => name.parse::<syscalls::x86_64::Sysno>().ok()?.id(),
        TargetArch::aarch64 => name.parse::<syscalls::aarch64::Sysno>().ok()?.id(),
        TargetArch::riscv64 => return None,
    };
    Some(i64::from(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(profile: &Value, folder: &Path) -> Result<Option<LinuxSeccomp>, SeccompError> {
        let security: SecurityContext =
            serde_json::from_value(json!({"seccompProfile": profile})).unwrap();
        super::profile(Some(&security), None, &[], folder)
    }

    #[test]
    fn every_known_name_has_a_number_somewhere() {
        // Calls of 32-bit machines and of old are in the published list too.
        let has = |name| {
            let targets = [TargetArch::x86_64, TargetArch::aarch64];
            targets
                .into_iter()
                .any(|target| number(target, name).is_some())
        };
        let all: Vec<&str> = usual::ALWAYS.split_ascii_whitespace().collect();
        let missing = all.iter().filter(|name| !has(name)).count();
        assert!(missing * 4 < all.len(), "{missing} of {}", all.len());
        for name in [
            "read",
            "execve",
            "openat2",
            "futex_waitv",
            "landlock_add_rule",
        ] {
            assert!(all.contains(&name) && has(name), "{name}");
        }
        for name in [
            "mount",
            "unshare",
            "keyctl",
            "bpf",
            "init_module",
            "kexec_load",
        ] {
            assert!(!all.contains(&name) && has(name), "{name}");
        }
    }

    #[test]
    fn default_compiles_for_both_architectures() {
        let plain = default(&[]).unwrap();
        let admin = default(&["CAP_SYS_ADMIN".to_owned()]).unwrap();
        for machine in ["x86_64", "aarch64"] {
            // One for what is allowed, one for what is said not to be there.
            assert_eq!(programs_for(&plain, machine).unwrap().len(), 2);
            assert_eq!(programs_for(&admin, machine).unwrap().len(), 1);
        }
        assert!(programs_for(&plain, "mips64").is_err());
    }

    #[test]
    fn profiles_are_those_that_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        assert!(profile(None, None, &[], at).unwrap().is_some());
        assert_eq!(asked(&json!({"type": "Unconfined"}), at).unwrap(), None);
        let strict = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}],
        });
        fs::write(at.join("strict.json"), strict.to_string()).unwrap();
        let local = |name: &str| asked(&json!({"type": "Localhost", "localhostProfile": name}), at);
        let strict = local("strict.json").unwrap().unwrap();
        assert_eq!(programs(&strict).unwrap().len(), 1);
        for refused in ["absent.json", "../strict.json"] {
            let why = local(refused).unwrap_err().to_string();
            assert!(why.starts_with("cannot load seccomp profile \""), "{why}");
        }
    }
}
