//! Landlock, seccomp, resource limits and inherited sockets.
