//! System calls that are over, by seccomp (seccomp(2)). In: limits. Out: a process that is refused them with EPERM.
//!
//! The rule: refused and not killed, so that what a library tries beside its work costs nothing. What is forbidden is
//! named; the rest is the kernel's business: with no user, no capability and no file there is little left to ask for.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter_all_threads};

use crate::run::sandbox::limits::{Errand, Limits};

/// Ways to speak with others. What is open stays: the capture reads its socket with recv and setsockopt.
const SPEAKING: &[libc::c_long] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_listen,
];

/// What gives a socket an address. Where none can be made it concerns those that are open.
const BINDING: &[libc::c_long] = &[libc::SYS_bind];

/// Ways to be spoken to.
const ANSWERING: &[libc::c_long] = &[libc::SYS_accept, libc::SYS_accept4];

/// Ways to become another program, to reach into one, to reach files around Landlock, and to change the machine. The
/// rings of `io_uring` would pass by all of these.
const REACHING: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_personality,
];

/// The second set of numbers by which x86-64 kernels may offer the same calls (x32), and those that are its own: execve,
/// ptrace, process_vm_readv, process_vm_writev, execveat.
#[cfg(target_arch = "x86_64")]
const X32: (i64, &[i64]) = (0x4000_0000, &[520, 521, 539, 540, 545]);

/// Forbids what is not needed any more, to all threads. Gives what could not be applied.
pub fn forbid(limits: &Limits) -> Option<String> {
    let mut calls = REACHING.to_vec();
    match limits.errand {
        Errand::None => calls.extend([SPEAKING, BINDING, ANSWERING].concat()),
        Errand::Captures => calls.extend([SPEAKING, ANSWERING].concat()),
        Errand::Accepts => calls.extend([SPEAKING, BINDING].concat()),
        Errand::RunsPrograms => return None,
    }
    let applied = program(&calls)
        .and_then(|program| apply_filter_all_threads(&program).map_err(|error| error.to_string()));
    let error = applied.err()?;
    Some(format!(
        "seccomp: {error}: sockets and other programs stay within reach"
    ))
}

fn program(calls: &[libc::c_long]) -> Result<BpfProgram, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    // No rule for a call means: whatever its arguments.
    let refused: BTreeMap<_, _> = numbers(calls)
        .into_iter()
        .map(|call| (call, Vec::new()))
        .collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(refused, SeccompAction::Allow, refuse, arch)
        .and_then(BpfProgram::try_from)
        .map_err(|error| error.to_string())
}

#[cfg(target_arch = "x86_64")]
fn numbers(calls: &[libc::c_long]) -> Vec<i64> {
    let (bit, own) = X32;
    let twice = calls.iter().flat_map(|call| [*call, *call | bit]);
    twice.chain(own.iter().map(|call| *call | bit)).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn numbers(calls: &[libc::c_long]) -> Vec<i64> {
    calls.iter().map(|call| i64::from(*call)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of x86-64, from its system call table (arch/x86/entry/syscalls/syscall_64.tbl).
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn both_sets_of_numbers_are_meant() {
        let numbers = numbers(&[libc::SYS_socket, libc::SYS_execve]);
        for number in [41, 59, 0x4000_0029, 0x4000_003b, 0x4000_0208] {
            assert!(numbers.contains(&number), "{number:#x}");
        }
    }

    #[test]
    fn the_filter_compiles_and_fits() {
        let all = [REACHING, SPEAKING, BINDING, ANSWERING].concat();
        let program = program(&all).unwrap();
        // BPF_MAXINSNS of linux/bpf_common.h.
        assert!(program.len() < 4_096);
    }
}
