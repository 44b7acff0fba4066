//! Which system calls are answered: seccomp.
//!
//! Three filters are stacked, and the kernel takes the sternest answer:
//!
//! 1. [`FATAL`]: what no library tries in good faith (tracing, mounting, loading kernel code). The process is killed.
//! 2. [`refusals`]: what a library may try and must cope without (a new socket, a new process). Answers `EPERM`.
//! 3. [`NEEDED`]: what a runtime needs. Anything else answers `ENOSYS`, as an older kernel would: a C library then
//!    falls back, and a system call that is invented tomorrow is closed today.
//!
//! `clone3` is among the unknown on purpose: its flags lie in memory, where no filter can look, and the C library falls
//! back to `clone`, whose flags can be checked.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Puts the filters in force on this process and every thread it will start.
pub(crate) fn restrict() -> Result<(), seccompiler::Error> {
    let fatal = FATAL.iter().map(|&call| (call, Vec::new())).collect();
    let refused = refusals()?;
    let passed = NEEDED
        .iter()
        .copied()
        .chain(refused.keys().copied())
        .chain(FATAL.iter().copied())
        .map(|call| (call, Vec::new()))
        .collect();
    let eperm = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let enosys = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let programs = [
        program(fatal, SeccompAction::Allow, SeccompAction::KillProcess)?,
        program(refused, SeccompAction::Allow, eperm)?,
        // Last, since it closes `seccomp` itself.
        program(passed, enosys, SeccompAction::Allow)?,
    ];
    for program in &programs {
        seccompiler::apply_filter_all_threads(program)?;
    }
    Ok(())
}

fn program(
    rules: Rules,
    otherwise: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, otherwise, listed, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// What is refused with `EPERM`: an empty list of rules means always, else when one of them holds.
fn refusals() -> Result<Rules, BackendError> {
    let always = REFUSED.iter().map(|&call| (call, Vec::new()));
    let mut rules: Rules = always.collect();
    // A new thread shares the process; anything else would be a new process.
    rules.insert(
        libc::SYS_clone,
        vec![rule(&[(0, SeccompCmpOp::MaskedEq(bits(libc::CLONE_THREAD)), 0)])?],
    );
    let harmless: Vec<_> = PROCESS_CONTROL
        .iter()
        .map(|&option| (0, SeccompCmpOp::Ne, bits(option)))
        .collect();
    rules.insert(libc::SYS_prctl, vec![rule(&harmless)?]);
    refuse_memory(&mut rules)?;
    refuse_others(&mut rules)?;
    refuse_sockets(&mut rules)?;
    Ok(rules)
}

/// Memory that no limit counts: what is shared and has no file stays when the limit on private memory is reached.
fn refuse_memory(rules: &mut Rules) -> Result<(), BackendError> {
    let shared_without_file = bits(libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    rules.insert(
        libc::SYS_mmap,
        vec![rule(&[(
            3,
            SeccompCmpOp::MaskedEq(shared_without_file),
            shared_without_file,
        )])?],
    );
    Ok(())
}

/// What would reach another process: its signals, its limits, the cores that it runs on.
fn refuse_others(rules: &mut Rules) -> Result<(), BackendError> {
    let own_pid = u64::from(std::process::id());
    let another = || rule(&[(0, SeccompCmpOp::Ne, 0), (0, SeccompCmpOp::Ne, own_pid)]);
    // A process may end itself (abort), nobody else.
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        rules.insert(call, vec![rule(&[(0, SeccompCmpOp::Ne, own_pid)])?]);
    }
    rules.insert(libc::SYS_sched_setaffinity, vec![another()?]);
    // Limits may be read, never set.
    let sets = SeccompRule::new(vec![SeccompCondition::new(
        2,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::Ne,
        0,
    )?])?;
    rules.insert(libc::SYS_prlimit64, vec![sets, another()?]);
    // A descriptor can be told to signal whomever it likes when something happens to it; and a lease makes others wait.
    let commands = [F_SETOWN, F_SETOWN_EX, F_SETSIG, F_SETLEASE].map(|command| one(1, command));
    rules.insert(libc::SYS_fcntl, commands.into_iter().collect::<Result<_, _>>()?);
    // The same by another name; and typing into a terminal that was inherited would run commands outside.
    let requests = [libc::TIOCSTI, libc::TIOCLINUX, FIOSETOWN, SIOCSPGRP].map(|request| one(1, request));
    rules.insert(libc::SYS_ioctl, requests.into_iter().collect::<Result<_, _>>()?);
    Ok(())
}

/// Sockets that could be sent somewhere. Pairs of connected streams stay inside; event loops use them for signals. A
/// datagram could be sent to any named socket that this process can write to, pair or not.
fn refuse_sockets(rules: &mut Rules) -> Result<(), BackendError> {
    // The lowest four bits are the type, the rest are flags. Of the types, the stream alone is 1.
    let kind = |bit, value| rule(&[(1, SeccompCmpOp::MaskedEq(bit), value)]);
    rules.insert(
        libc::SYS_socketpair,
        vec![
            rule(&[(0, SeccompCmpOp::Ne, bits(libc::AF_UNIX))])?,
            kind(1, 0)?,
            kind(2, 2)?,
            kind(4, 4)?,
            kind(8, 8)?,
        ],
    );
    // With an address. `sendmsg` keeps its address in memory, where no filter can look, and is refused altogether.
    let address = SeccompCondition::new(4, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
    rules.insert(libc::SYS_sendto, vec![SeccompRule::new(vec![address])?]);
    Ok(())
}

/// A rule that holds when an argument has this value.
fn one(argument: u8, value: u64) -> Result<SeccompRule, BackendError> {
    rule(&[(argument, SeccompCmpOp::Eq, value)])
}

/// A rule that holds when each of its (argument, comparison, value) does; arguments are compared as 32 bits.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, BackendError> {
    let conditions = conditions
        .iter()
        .map(|(argument, comparison, value)| {
            SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, comparison.clone(), *value)
        })
        .collect::<Result<_, _>>()?;
    SeccompRule::new(conditions)
}

fn bits(value: libc::c_int) -> u64 {
    u64::from(value.cast_unsigned())
}

// Of `asm-generic/fcntl.h`, `linux/fcntl.h` and `asm-generic/sockios.h`.
const F_SETOWN: u64 = 8;
const F_SETSIG: u64 = 10;
const F_SETOWN_EX: u64 = 15;
const F_SETLEASE: u64 = 1024;
const FIOSETOWN: u64 = 0x8901;
const SIOCSPGRP: u64 = 0x8902;

/// What `prctl` may still be asked: names, and questions.
const PROCESS_CONTROL: &[libc::c_int] = &[
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_SET_VMA,
    libc::PR_GET_DUMPABLE,
    libc::PR_GET_NO_NEW_PRIVS,
    // Asked by each further filter; it can only be set.
    libc::PR_SET_NO_NEW_PRIVS,
    libc::PR_GET_SECCOMP,
    libc::PR_CAPBSET_READ,
    libc::PR_GET_TIMERSLACK,
];

/// Kills the process.
const FATAL: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// Answers `EPERM`, whatever the arguments.
///
/// Landlock knows nothing of owners, modes, times and attributes: changing those of a file is refused here, even where the
/// file may be written.
const REFUSED: &[i64] = &[
    libc::SYS_bind,
    libc::SYS_capset,
    libc::SYS_connect,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_ioprio_set,
    libc::SYS_linkat,
    libc::SYS_listen,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_mknodat,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_removexattr,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_setpriority,
    libc::SYS_setrlimit,
    libc::SYS_setsid,
    libc::SYS_setpgid,
    libc::SYS_setxattr,
    libc::SYS_shmget,
    libc::SYS_socket,
    libc::SYS_symlinkat,
    libc::SYS_tkill,
    libc::SYS_truncate,
    libc::SYS_utimensat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_futimesat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// What an event loop over an inherited socket, a runtime with threads and mapped weights, and an unpacker need.
const NEEDED: &[i64] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_get_mempolicy,
    libc::SYS_madvise,
    libc::SYS_mbind,
    libc::SYS_membarrier,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munmap,
    libc::SYS_set_mempolicy,
    // Threads, time and signals.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getitimer,
    libc::SYS_getpriority,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    libc::SYS_signalfd4,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_times,
    libc::SYS_wait4,
    libc::SYS_waitid,
    // Files, inside what Landlock leaves.
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pipe2,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readahead,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_sendfile,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_sync_file_range,
    libc::SYS_umask,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
    // Sockets that were handed over, and waiting for them.
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    // Questions about the process and the machine.
    libc::SYS_capget,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrlimit,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_getuid,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    // Older calls for the same things, which C libraries still make on this architecture.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_dup2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_create,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_eventfd,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_getpgrp,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_pause,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_pipe,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_select,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
];
