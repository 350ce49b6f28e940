package zoneinit

import "syscall"

// sysProcAttr keeps the server in the init's session, which identifies its orphans, but
// in a process group of its own.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
