package zoneinit

import "syscall"

// sysProcAttr keeps the server in the init's session, by which its orphans can
// be told, and out of its process group.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
