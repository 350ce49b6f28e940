package kstat

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
)

// A Runner runs a command, found by its name, and returns its standard output.
// It returns soon after ctx ends.
type Runner func(ctx context.Context, name string, args ...string) ([]byte, error)

// Command takes samples with the command kstat(8), for programs built without
// cgo. One costs a process and some 100 ms.
type Command struct {
	Run Runner
}

// arguments ask for what a Sample holds and little more.
var arguments = []string{"-p", moduleZones + ":::", moduleVMM + ":::",
	moduleLink + ":::" + statReceived, moduleLink + ":::" + statSent}

// Sample runs kstat once.
func (c Command) Sample(ctx context.Context) (Sample, error) {
	out, err := c.Run(ctx, "kstat", arguments...)
	if err != nil {
		return Sample{}, fmt.Errorf("sample kstats: %w", err)
	}
	return parse(out).sample(), nil
}

// parse reads the output of kstat -p: lines of module:instance:name:statistic,
// a tab and the value. A name may contain colons. A line of another form is
// left out: a statistic that is text may contain a line end.
func parse(out []byte) stats {
	all := make(stats)
	for line := range bytes.Lines(out) {
		name, value, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("\t"))
		if k, statistic, named := parseName(name); ok && named {
			all.set(k, statistic, string(value))
		}
	}
	return all
}

func parseName(text []byte) (k key, statistic string, ok bool) {
	module, rest, ok1 := bytes.Cut(text, []byte(":"))
	instance, rest, ok2 := bytes.Cut(rest, []byte(":"))
	last := bytes.LastIndexByte(rest, ':')
	number, err := strconv.Atoi(string(instance))
	if !ok1 || !ok2 || last < 0 || err != nil {
		return key{}, "", false
	}
	return key{module: string(module), instance: number, name: string(rest[:last])}, string(rest[last+1:]), true
}
