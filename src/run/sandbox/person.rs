//! Whom to become. In: -Z, or what sudo left. Out: a user of this machine.
//!
//! The rule: root captures, and somebody else parses. Who was root by sudo becomes who he was; else it is `nobody`.

use nix::unistd::{Gid, Uid, User, getegid, geteuid};

use crate::run::failure::Failure;

/// The user and group `nobody` where the machine does not name one: the kernel's overflow ids.
const NOBODY: u32 = 65_534;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name, where there is one; by it supplementary groups are found.
    pub name: Option<String>,
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
}

impl Person {
    fn of(user: User) -> Self {
        Self {
            name: Some(user.name),
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        }
    }

    /// What to call the user in a message.
    pub fn called(&self) -> String {
        let by_id = || format!("user {}", self.uid);
        self.name.clone().unwrap_or_else(by_id)
    }
}

/// Whom to become: `asked` by -Z; else, where root captures, the user that called sudo, or nobody. `None` stays.
///
/// # Errors
/// A name that no user has, or that only root could become.
pub fn chosen(asked: Option<&str>, captures: bool) -> Result<Option<Person>, Failure> {
    let root = geteuid().is_root();
    let Some(name) = asked else {
        return Ok((root && captures).then(|| by_sudo().unwrap_or_else(nobody)));
    };
    let user = User::from_name(name)
        .ok()
        .flatten()
        .ok_or_else(|| Failure::usage(format!("-Z {name}: there is no such user")))?;
    if !root && user.uid != geteuid() {
        return Err(Failure::usage(format!(
            "-Z {name}: only root can become another user"
        )));
    }
    Ok(root.then(|| Person::of(user)))
}

/// Who is at work now.
pub fn present() -> Person {
    let uid = geteuid();
    match User::from_uid(uid) {
        Ok(Some(user)) => Person::of(user),
        _ => Person {
            name: None,
            uid: uid.as_raw(),
            gid: getegid().as_raw(),
        },
    }
}

fn by_sudo() -> Option<Person> {
    let id = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    from_ids(id("SUDO_UID")?, id("SUDO_GID")?)
}

/// A user by ids that are not root's.
fn from_ids(uid: u32, gid: u32) -> Option<Person> {
    if uid == 0 || gid == 0 {
        return None;
    }
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    Some(Person {
        name: user.map(|user| user.name),
        uid,
        gid: Gid::from_raw(gid).as_raw(),
    })
}

fn nobody() -> Person {
    match User::from_name("nobody") {
        Ok(Some(user)) if !user.uid.is_root() => Person::of(user),
        _ => Person {
            name: None,
            uid: NOBODY,
            gid: NOBODY,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_nobody_to_become_by_accident() {
        assert_eq!(from_ids(0, 1000), None);
        assert_eq!(from_ids(1000, 0), None);
        let person = from_ids(4_000_000_001, 4_000_000_002).unwrap();
        assert_eq!((person.uid, person.gid), (4_000_000_001, 4_000_000_002));
        assert_eq!(person.called(), "user 4000000001");
        assert_ne!(nobody().uid, 0);
    }

    #[test]
    fn names_are_looked_up() {
        let missing = chosen(Some("no-such-user-here"), true).unwrap_err();
        assert_eq!(missing.code, 2);
        if geteuid().is_root() {
            assert_eq!(chosen(Some("root"), true).unwrap().unwrap().uid, 0);
            assert_eq!(chosen(None, false).unwrap(), None);
            assert!(chosen(None, true).unwrap().unwrap().uid > 0);
        } else {
            assert_eq!(chosen(Some("root"), true).unwrap_err().code, 2);
            assert_eq!(chosen(None, true).unwrap(), None);
        }
    }
}
