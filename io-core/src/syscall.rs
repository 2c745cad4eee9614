//! Feature `syscall`: the definition of every operation as one Linux system call.
