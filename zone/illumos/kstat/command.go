package kstat

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone/stats"
)

// maxOutput is far more than a full sled prints: 100 bytes for each statistic of
// 1,000 zones and of 1,000 VMs with 64 virtual CPUs.
const maxOutput = 64 << 20

// arguments select the kstats that a Sample needs, and few others.
var arguments = []string{"kstat", "-p", moduleZones + ":::", moduleVMM + ":::",
	moduleLink + ":::" + statReceived, moduleLink + ":::" + statSent}

// sampleCommand takes a sample by running kstat(8), which takes about 100 ms.
func sampleCommand(ctx context.Context, commands *command.Set) (stats.Sample, error) {
	out, err := commands.Output(ctx, command.Call{Argv: arguments, For: "kstat", MaxOutput: maxOutput})
	if err != nil {
		return stats.Sample{}, fmt.Errorf("sample kstats: %w", err)
	}
	return parse(out).sample(), nil
}

// parse parses the output of kstat -p: lines of module:instance:name:statistic, a
// tab and the value. A name may contain colons. It omits lines of another form, since
// a text value may contain a newline.
func parse(out []byte) readings {
	all := make(readings)
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
