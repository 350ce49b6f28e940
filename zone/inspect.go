package zone

import "context"

// An Inspector is a Manager that can describe the processes of a zone to people. What it
// says may be incomplete: nothing may be decided by it. Its methods are safe for
// concurrent use. They may hang in the kernel whatever becomes of ctx, like any look at a
// process.
type Inspector interface {
	// Processes returns the pids of a zone's processes as the host numbers them, its first
	// process first, and at most most of them.
	Processes(ctx context.Context, name string, most int) ([]int, error)
	// Inspect describes processes that Processes has returned. It calls keep with the name
	// and the content of each file as soon as there is one, so that what hangs later loses
	// nothing. What a process chooses itself, such as its name, is made plain text. An error
	// says what is missing.
	Inspect(ctx context.Context, pids []int, keep func(file string, text []byte)) error
}
