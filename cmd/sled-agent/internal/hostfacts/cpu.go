package hostfacts

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/internal/command"
)

// maxCPUInfo bounds what is read of /proc/cpuinfo; the first CPU is enough.
const maxCPUInfo = 16 << 10

// CPUFamily returns the sled API's name of the family that the host's CPU belongs to;
// empty if it is of none or cannot be told.
func CPUFamily(ctx context.Context, log zerolog.Logger) (string, error) {
	var c cpu
	var err error
	switch runtime.GOOS {
	case "illumos":
		c, err = cpuOfIllumos(ctx, log)
	case "linux":
		c, err = cpuOfLinux()
	}
	return c.family(), err
}

// A cpu is a processor by its vendor's numbers.
type cpu struct {
	vendor        string
	number, model int
}

// family returns the API's name for a family of CPUs whose features a guest can rely on.
// Desktop processors count as the server's of their generation, and Zen 4 as Zen 3, as in
// the reference.
func (c cpu) family() string {
	if c.vendor != "AuthenticAMD" {
		return ""
	}
	series := c.model >> 4
	switch {
	case c.number == 0x19 && (series <= 2 || series == 6):
		return "amd_milan"
	case c.number == 0x1a && (series == 0 || series == 4):
		return "amd_turin"
	case c.number == 0x1a && series == 1:
		return "amd_turin_dense"
	}
	return ""
}

func cpuOfLinux() (cpu, error) {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return cpu{}, err
	}
	defer f.Close() // only read
	text := make([]byte, maxCPUInfo)
	n, err := f.Read(text)
	return parseLinux(text[:n]), err
}

func parseLinux(text []byte) cpu { return parseCPU(text, ":", "vendor_id", "cpu family", "model") }

func cpuOfIllumos(ctx context.Context, log zerolog.Logger) (cpu, error) {
	commands, err := command.Find("/usr/bin:/usr/sbin", []string{"kstat"}, nil, log)
	if err != nil {
		return cpu{}, err
	}
	out, err := commands.Output(ctx, command.Call{Argv: []string{"kstat", "-p", cpu0}, For: "kstat"})
	if err != nil {
		return cpu{}, fmt.Errorf("ask kstat for the CPU: %w", err)
	}
	return parseIllumos(out), nil
}

// cpu0 begins the names of the first CPU's kstats.
const cpu0 = "cpu_info:0:cpu_info0:"

func parseIllumos(text []byte) cpu {
	return parseCPU(text, "\t", cpu0+"vendor_id", cpu0+"family", cpu0+"model")
}

// parseCPU parses lines of a name, a separator and a value. Of each name the first line
// counts.
func parseCPU(text []byte, separator, vendor, family, model string) (c cpu) {
	values := map[string]string{}
	for line := range bytes.Lines(text) {
		name, value, _ := strings.Cut(string(line), separator)
		if name = strings.TrimSpace(name); values[name] == "" {
			values[name] = strings.TrimSpace(value)
		}
	}
	c.vendor = values[vendor]
	c.number, _ = strconv.Atoi(values[family]) // 0 is no family of AMD's
	c.model, _ = strconv.Atoi(values[model])
	return c
}
