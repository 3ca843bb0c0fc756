//! Files that stay within reach, by Landlock (landlock(7)). In: limits. Out: a process for which there are no others.
//!
//! The rule: what is open stays open; to be opened needs to be named. Newer kernels also forbid TCP and signals to others.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use crate::run::sandbox::limits::{Errand, Limits};

/// Up to this version of Landlock its rights are asked for (Linux 6.12); an older kernel gives what it has.
const NEWEST: ABI = ABI::V6;

/// Restricts this thread and those that it starts. Gives what could not be applied.
pub fn restrict(limits: &Limits) -> Option<String> {
    if limits.errand == Errand::RunsPrograms {
        return None;
    }
    let all = "any file that its user may open stays within reach";
    match restricted(limits) {
        Err(error) => Some(format!("Landlock: {error}: {all}")),
        Ok(status) => match (status.ruleset, status.landlock) {
            (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
                Some(format!("Landlock is switched off in this kernel: {all}"))
            }
            (RulesetStatus::NotEnforced, _) => {
                Some(format!("Landlock is missing in this kernel: {all}"))
            }
            // Without its third version a file that may not be written can still be emptied.
            (_, LandlockStatus::Available { effective_abi, .. }) if effective_abi < ABI::V3 => {
                Some("Landlock of this kernel does not forbid to empty files".to_owned())
            }
            _ => None,
        },
    }
}

fn restricted(limits: &Limits) -> Result<RestrictionStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // To rename within a folder is to make and to remove.
    let write =
        read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for path in &limits.read {
        rules = allow(rules, path, read)?;
    }
    for path in &limits.write {
        rules = allow(rules, path, write)?;
    }
    rules.restrict_self()
}

/// Allows `access` below `path`. What cannot be opened now need not be allowed; a pipe needs no permission, and the kernel
/// takes none for it.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(facts) = path.metadata() else {
        return Ok(rules);
    };
    let Ok(file) = PathFd::new(path) else {
        return Ok(rules);
    };
    if facts.is_dir() {
        rules.add_rule(PathBeneath::new(file, access))
    } else if facts.is_file() {
        let access = access & AccessFs::from_file(NEWEST);
        rules.add_rule(PathBeneath::new(file, access))
    } else {
        Ok(rules)
    }
}
