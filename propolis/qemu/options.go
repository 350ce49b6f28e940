package qemu

// Options are what is the same for every VM of a server.
type Options struct {
	// Program is QEMU's file.
	Program string
	// Dir is the directory in which a private one is made for each VM. It must be a local one.
	Dir string
	// Accel is "kvm", "tcg", or "auto" for kvm if a guest proves that it works.
	Accel string
	// Net is how network backends are realized: "none", "user" (QEMU's own network stack) or
	// "tap" (the tap device with the VNIC's name).
	Net string
	// Kernel, Initrd and Append boot a kernel directly; empty for none.
	Kernel, Initrd, Append string
	// CrucibleDir has a file ID.raw in place of each Crucible volume; empty for none.
	CrucibleDir string
}
