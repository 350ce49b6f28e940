package hostcheck

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sledagent/sledagent/internal/bootclock"
	"github.com/sledagent/sledagent/internal/certs"
)

// fewFiles is a limit of open files with which some hundred VMMs run out of descriptors.
const fewFiles = 4096

// writable returns a result if this user cannot make files in a directory. One that is
// absent will be made.
func writable(dir, key string) []Result {
	there, err := nearest(dir)
	if err == nil {
		err = unix.Access(there, unix.W_OK|unix.X_OK)
	}
	if err != nil {
		return wrong("run this as the agent's user, or set another "+key, "%s cannot be written to: %v", dir, err)
	}
	return nil
}

// Files checks the limit of open files that the agent would have.
func Files() Check {
	return Check{"open files", func(context.Context) []Result {
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return warning("", "cannot tell the limit: %v", err)
		}
		if limit.Max < fewFiles && os.Geteuid() != 0 { // root may raise it
			return warning("raise the hard limit (LimitNOFILE= of the unit, ulimit -Hn)", "at most %d", limit.Max)
		}
		return ok("at most %d", limit.Max)
	}}
}

// Boot checks that a reboot of the host can be told from a restart of the agent.
func Boot() Check {
	return Check{"boot id", func(context.Context) []Result {
		id, err := bootclock.Host().Boot()
		if err != nil {
			return warning("mount /proc, or on illumos let the agent write to /etc/svc/volatile",
				"%v: after a reboot of the host VMs that are gone are not known to be", err)
		}
		return ok("%s", id)
	}}
}

// Group checks that a group exists.
func Group(name string) Check {
	return Check{"admin.group", func(context.Context) []Result {
		g, err := user.LookupGroup(name)
		if err != nil {
			return wrong("groupadd "+name+", or set another admin.group", "%v", err)
		}
		return ok("%s has the id %s", name, g.Gid)
	}}
}

// soon is how long before its end a certificate is worth a warning.
const soon = 14 * 24 * time.Hour

// Certs checks the files of a table of the configuration.
func Certs(table string, store *certs.Store) Check {
	return Check{table, func(context.Context) []Result {
		if err := store.Load(); err != nil {
			return wrong("replace the file", "%v", err)
		}
		ends := store.NotAfter()
		switch left := time.Until(ends); {
		case ends.IsZero():
			return ok("the files can be used")
		case left <= 0:
			return wrong("renew the certificate", "the certificate has expired at %s", ends.UTC().Format(time.RFC3339))
		case left < soon:
			return warning("renew the certificate", "the certificate expires at %s", ends.UTC().Format(time.RFC3339))
		}
		return ok("the certificate is good until %s", ends.UTC().Format(time.RFC3339))
	}}
}

// Path checks that a file, a directory or a device exists.
func Path(name, path string, cure string) Check {
	return Check{name, func(context.Context) []Result {
		if _, err := os.Stat(path); err != nil {
			return wrong(cure, "%v", err)
		}
		return ok("%s", path)
	}}
}

// Of makes a check of a function that returns what it has found.
func Of(name, cure string, find func(context.Context) (string, error)) Check {
	return Check{name, func(ctx context.Context) []Result {
		found, err := find(ctx)
		if err != nil {
			return wrong(cure, "%v", err)
		}
		return ok("%s", found)
	}}
}

// Isolation checks how well zones of processes would be held together. probe returns its
// description, best those that leave nothing behind.
func Isolation(probe func() (string, error), best ...string) Check {
	return Check{"isolation", func(context.Context) []Result {
		found, err := probe()
		if err != nil {
			return wrong("free resources of the host, and try again", "%v", err)
		}
		if slices.Contains(best, found) {
			return ok("%s", found)
		}
		return warning("run the agent as root in a control group of its own (Delegate=yes of the unit): "+
			"a process that leaves its session can outlive its zone otherwise", "%s", found)
	}}
}

// Findings makes a check of results that another package has found.
func Findings(name string, find func(context.Context) ([]Result, error)) Check {
	return Check{name, func(ctx context.Context) []Result {
		results, err := find(ctx)
		if err != nil {
			results = append(results, wrong("install what is missing, or set zones.illumos.command_path", "%v", err)...)
		}
		if len(results) == 0 {
			return ok("nothing is missing")
		}
		return results
	}}
}

// Failed returns the result of an error, or that all is well.
func Failed(name string, err error, cure string) Result {
	if err != nil {
		return Result{Name: name, Level: Error, Detail: err.Error(), Cure: cure}
	}
	return Result{Name: name, Level: OK, Detail: "as it has to be"}
}

// Summary returns the error for results with errors.
func Summary(all []Result) error {
	if n := Count(all, Error); n > 0 {
		return fmt.Errorf("the host is not ready: %d of %d checks failed", n, len(all))
	}
	return nil
}
