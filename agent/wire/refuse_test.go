package wire_test

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
)

var instance = uuid.MustParse("5e0b7c1a-3d2f-4a6b-8c9d-0e1f2a3b4c5d")

// edited returns a registration with two NICs and the given replacements.
func edited(t *testing.T, oldnew ...string) []byte {
	t.Helper()
	body := string(wire.NewBody(wire.BodyOptions{InstanceID: instance, NICs: 2}))
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(body, oldnew[i]) {
			t.Fatalf("the body has no %s:\n%s", oldnew[i], body)
		}
		body = strings.ReplaceAll(body, oldnew[i], oldnew[i+1])
	}
	return []byte(body)
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	id := func(net string) string { return uuid.NewSHA1(instance, []byte(net)).String() }
	for name, tt := range map[string]struct {
		edit []string
		want string
	}{
		"a NIC without a backend": {[]string{`"id":"` + id("net1") + `"`, `"id":"` + uuid.NewString() + `"`},
			"local_config.nics[1].id: want the key of a virtio_network_backend in vmm_spec.components"},
		"a NIC whose key is another component's": {[]string{`"` + id("net1") + `":{"component":{"vnic_name":""},"type":"virtio_network_backend"}`,
			`"` + id("net1") + `":{"component":{"vnic_name":""},"type":"dlpi_network_backend"}`}, "local_config.nics[1].id: want the key of"},
		"a NIC twice":                       {[]string{`"id":"` + id("net1") + `"`, `"id":"` + id("net0") + `"`}, "local_config.nics[1].id: want an id that no other NIC has"},
		"a slot twice":                      {[]string{`"slot":1`, `"slot":0`}, "local_config.nics[1].slot: want a slot that no other NIC has, got 0"},
		"two primary NICs":                  {[]string{`"primary":false`, `"primary":true`}, "local_config.nics[1].primary: want one primary NIC at most"},
		"port 0":                            {[]string{`[::1]:12400`, `[::1]:0`}, `propolis_addr: want a port other than 0, got "[::1]:0"`},
		"every address of the host":         {[]string{`[::1]:12400`, `[::]:12400`}, `propolis_addr: want the address of one host, got "[::]:12400"`},
		"every IPv4 address":                {[]string{`[::1]:12400`, `0.0.0.0:12400`}, `propolis_addr: want the address of one host, got "0.0.0.0:12400"`},
		"every IPv4 address, spelled as v6": {[]string{`[::1]:12400`, `[::ffff:0.0.0.0]:12400`}, `propolis_addr: want the address of one host`},
		"a multicast address":               {[]string{`[::1]:12400`, `[ff02::1]:12400`}, `propolis_addr: want the address of one host`},
		"the broadcast address":             {[]string{`[::1]:12400`, `255.255.255.255:12400`}, `propolis_addr: want the address of one host`},
		"a VMM that failed":                 {[]string{`"state":"starting"`, `"state":"failed"`}, `vmm_runtime.state: want one of ["starting"`},
		"a VMM that is over":                {[]string{`"state":"starting"`, `"state":"destroyed"`}, "vmm_runtime.state: want one of"},
		"generation 0":                      {[]string{`"gen":2`, `"gen":0`}, "vmm_runtime.gen: want an integer from 1 to 9223372032559808511, got 0"},
		"the last generation": {[]string{`"gen":2`, `"gen":9223372036854775807`},
			"vmm_runtime.gen: want an integer from 1 to 9223372032559808511, got 9223372036854775807"},
		"a generation without room for others": {[]string{`"gen":2`, `"gen":9223372032559808512`}, "want an integer from 1 to 9223372032559808511"},
		"a generation that is out of bounds":   {[]string{`"gen":2`, `"gen":18446744073709551616`}, "want an integer from 1 to 9223372032559808511"},
		"a bad MAC":                            {[]string{`A8:40:25:F0:00:00`, `zz`}, `local_config.nics[0].mac: want a MAC address such as "A8:40:25:F3:7C:01", got "zz"`},
		"a key twice":                          {[]string{`"slot":1`, `"slot":1,"slot":1`}, "local_config.nics[1].slot: want a key once, got it twice"},
		"a key twice, spelled differently": {[]string{`"slot":1`, `"slot":1,"\u0073lot":1`},
			"local_config.nics[1].slot: want a key once, got it twice"},
		"one of many keys twice": {[]string{`"hostname":"demo"`, `"hostname":"demo","a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"k":0,` +
			`"l":0,"m":0,"n":0,"o":0,"p":0,"q":0,"r":0,"p":0`}, "local_config.p: want a key once, got it twice"},
		"the first of many keys twice": {[]string{`"hostname":"demo"`, `"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"k":0,` +
			`"l":0,"m":0,"n":0,"o":0,"hostname":"x","hostname":"demo"`}, "local_config.hostname: want a key once, got it twice"},
		"a component twice by its UUID": {[]string{`"com1":{"component":{"num":"com1"},"type":"serial_port"}`,
			`"` + strings.ToUpper(id("net0")) + `":{"component":{"num":"com1"},"type":"serial_port"}`}, "want a key once, got another spelling of it too"},
		"an unknown component":           {[]string{`"type":"serial_port"`, `"type":"parallel_port"`}, "vmm_spec.components.com1.type: want one of"},
		"an unknown field of one":        {[]string{`"num":"com1"`, `"num":"com1","baud":9600`}, "vmm_spec.components.com1.component.baud: want no field of this name, got 9600"},
		"a key that looks like a path":   {[]string{`"com1":{"component":{"num":"com1"}`, `"a.b[0]":{"component":{"num":"com9"}`}, `vmm_spec.components["a.b[0]"].component.num: want one of`},
		"bytes that are no characters":   {[]string{`"hostname":"demo"`, "\"hostname\":\"demo\",\"x\":\"\xff\""}, "local_config.x: want JSON, got invalid UTF-8"},
		"a long value, of which it cuts": {[]string{`"hostname":"demo"`, `"hostname":"` + strings.Repeat("é", 500) + `"`}, strings.Repeat("é", 24) + `..."`},
	} {
		_, err := decode(edited(t, tt.edit...))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

// Everything that the reference accepts is accepted.
func TestDecodeIsLenient(t *testing.T) {
	t.Parallel()
	net0 := uuid.NewSHA1(instance, []byte("net0")).String()
	for name, edit := range map[string][]string{
		"bytes after the value":         {`"vmm_spec":`, `"vmm_spec":`},
		"a UUID without hyphens":        {`"instance_id":"` + instance.String() + `"`, `"instance_id":"` + strings.ReplaceAll(instance.String(), "-", "") + `"`},
		"a UUID in braces":              {`"instance_id":"` + instance.String() + `"`, `"instance_id":"{` + instance.String() + `}"`},
		"a UUID as a URN":               {`"instance_id":"` + instance.String() + `"`, `"instance_id":"urn:uuid:` + instance.String() + `"`},
		"a NIC id in capitals":          {`"id":"` + net0 + `"`, `"id":"` + strings.ToUpper(net0) + `"`},
		"a MAC in small letters":        {"A8:40:25:F0:00:00", "a8:40:25:f0:00:00"},
		"a MAC with hyphens":            {"A8:40:25:F0:00:00", "A8-40-25-F0-00-00"},
		"no optional field":             {`"migration_id":null,`, ``, `"primary_nic_mtu":null`, `"later":1`, `"cpuid":null,`, ``, `,"smbios":null`, ``},
		"host bits in a network":        {"172.30.0.0/24", "172.30.0.77/24"},
		"no transit networks":           {`,"transit_ips":[]`, ``},
		"an IPv4 Propolis address":      {"[::1]:12400", "127.0.0.1:12400"},
		"a Propolis address in a scope": {"[::1]:12400", "[fe80::1%3]:12400"},
		"the greatest generation":       {`"gen":2`, `"gen":9223372032559808511`},
		"the stopped state":             {`"state":"starting"`, `"state":"stopped"`},
	} {
		if _, err := decode(append(edited(t, edit...), " }{ trailing"...)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeErrorsOfSyntax(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"":                       "at byte 0: want JSON, got the end of the body",
		"   ":                    "got the end of the body",
		"[]":                     "at byte 2: want an object, got a list of 0",
		`{"vmm_spec":[{"a":tru}`: "vmm_spec[0].a: want JSON",
		`{"a" 1}`:                "want JSON",
		`{"a":1,}`:               "want JSON",
		`{1:1}`:                  "want JSON",
		`[1,]`:                   "want JSON",
		`{"a":01}`:               "want JSON",
		"{\"a\":\"\n\"}":         "a: want JSON",
		"\xef\xbb\xbf{}":         "want JSON",
	} {
		_, err := decode([]byte(body))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Decode(%q) = %v; want %q", body, err, want)
		}
	}
}

// A body of the maximum size takes little time and memory, whatever its content.
func TestDecodeIsBounded(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	fill := func(s string) []byte { return bytes.Repeat([]byte(s), size/len(s)) }
	many := []byte("{")
	for i := 0; len(many) < size-16; i++ {
		many = append(many, `"`+strings.Repeat("k", i%7)+uuid.NewString()[:8]+`":0,`...)
	}
	for name, body := range map[string][]byte{
		"a bomb of lists":    fill("["),
		"a bomb of objects":  fill(`{"a":`),
		"a flat list":        append(append([]byte(`{"x":[0`), fill(",0")...), "]}"...),
		"many keys":          append(many, `"z":0}`...),
		"one string":         append(append([]byte(`{"x":"`), fill("\\n")...), `"}`...),
		"one long key":       append(append([]byte(`{"`), fill("k")...), `":tru`...),
		"one number":         fill("9"),
		"white space":        fill(" "),
		"many lists of list": append([]byte(`{"x":`), fill("[[[[[[[[[[[[[[[[],]]]]]]]]]]]]]]]]")...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		_, err := decode(body)
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if took > 20*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if len(err.Error()) > 2000 {
			t.Errorf("%s: error of %d bytes: %.200s", name, len(err.Error()), err)
		}
		t.Logf("%s: %v, about %d MiB allocated: %.120s", name, took, (after.TotalAlloc-before.TotalAlloc)>>20, err)
	}
}

// FuzzDecode needs -fuzzminimizetime=1x: otherwise the fuzzer spends its time on
// minimizing bodies of this size.
func FuzzDecode(f *testing.F) {
	f.Add(wiretest.Full())
	f.Add(wire.NewBody(wire.BodyOptions{InstanceID: instance, NICs: 2}))
	f.Add([]byte(`{"state":{"type":"migration_target","value":{"src_propolis_addr":"[::1]:1"}}}`))
	f.Add([]byte(`{"snapshot_id":"5e0b7c1a-3d2f-4a6b-8c9d-0e1f2a3b4c5d"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = wire.DecodeState(body)
		_, _ = wire.DecodeSnapshot(body)
		r, err := decode(body)
		if err != nil {
			if bad, ok := errors.AsType[*wire.Error](err); !ok || bad.Want == "" || bad.Got == "" {
				t.Errorf("an error that says nothing: %#v", err)
			}
			return
		}
		if !bytes.Contains(body, r.Spec) || len(r.Spec) < 2 || r.Spec[0] != '{' || r.Spec[len(r.Spec)-1] != '}' {
			t.Errorf("the spec is not a part of the body: %q", r.Spec)
		}
		if _, err := r.Runtime.Updated.MarshalJSON(); err != nil || r.Runtime.Gen == 0 || r.PropolisAddr.Port() == 0 || r.Runtime.State.Terminal() {
			t.Errorf("accepted %+v", r)
		}
	})
}
