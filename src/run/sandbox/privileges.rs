//! Users, groups, capabilities. In: limits. Out: a process that has given up what it does not need.
//!
//! The rule: whoever is to become somebody else and cannot, ends; a capability that stays is told.

use std::ffi::CString;
use std::io;

use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::{
    Gid, Uid, getegid, geteuid, getresuid, initgroups, setegid, seteuid, setgroups, setresgid,
    setresuid,
};

use crate::run::failure::{Failure, exit};
use crate::run::sandbox::limits::Limits;
use crate::run::sandbox::person::Person;

/// Gives up user, groups, capabilities, and the way to win them back by running another program.
///
/// # Errors
/// When the user cannot be changed.
pub fn give_up(limits: &Limits) -> Result<Vec<String>, Failure> {
    let mut missing = Vec::new();
    // While it is still root: without CAP_SETPCAP the bounding set stays, and is harmless beside no_new_privs.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).is_ok_and(|has| has)
        && let Err(error) = caps::clear(None, CapSet::Bounding)
    {
        missing.push(format!("the bounding set of capabilities stays: {error}"));
    }
    if let Some(person) = &limits.person {
        become_person(person).map_err(|error| Failure {
            code: exit::INPUT,
            message: format!("cannot become {}: {error}", person.called()),
        })?;
    }
    if let Err(error) = keep_only(&limits.keep) {
        missing.push(format!("capabilities stay: {error}"));
    }
    if let Err(error) = nix::sys::prctl::set_no_new_privs() {
        missing.push(format!("no_new_privs is not set: {error}"));
    }
    Ok(missing)
}

/// Takes the rights of `person` to files; gives whose they were.
pub fn be_for_now(person: &Person) -> io::Result<(Uid, Gid)> {
    let before = (geteuid(), getegid());
    // The groups of before are not needed again.
    join_groups(person)?;
    setegid(Gid::from_raw(person.gid))?;
    seteuid(Uid::from_raw(person.uid))?;
    Ok(before)
}

/// Takes back what [`be_for_now`] gave away.
pub fn be_again((uid, gid): (Uid, Gid)) -> io::Result<()> {
    seteuid(uid)?;
    setegid(gid)?;
    Ok(())
}

fn join_groups(person: &Person) -> io::Result<()> {
    let gid = Gid::from_raw(person.gid);
    match &person.name {
        Some(name) => initgroups(&CString::new(name.as_str())?, gid)?,
        None => setgroups(&[])?,
    }
    Ok(())
}

fn become_person(person: &Person) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(person.uid), Gid::from_raw(person.gid));
    join_groups(person)?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    let now = getresuid()?;
    if [now.real, now.effective, now.saved] == [uid; 3] {
        Ok(())
    } else {
        Err(io::Error::other("the user did not change"))
    }
}

/// Ambient first: a capability stays ambient only while it is permitted and inheritable.
fn keep_only(keep: &[Capability]) -> Result<(), caps::errors::CapsError> {
    let had = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = keep
        .iter()
        .copied()
        .filter(|one| had.contains(one))
        .collect();
    // Where the kernel knows no ambient set there is none to clear.
    let _ = caps::clear(None, CapSet::Ambient);
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)
}
