package propolis

import (
	"strings"
	"testing"
)

func TestFitWriteCaches(t *testing.T) {
	t.Parallel()
	spec := func(disk string) string {
		return `{ "components": {"a":{"type":"nvme_disk","component":` + disk + `}, "b":{"component":{"has_write_cache":1},"type":"other"},` +
			` "c":{"component": {"backend_id" : "x"} ,"type":"nvme_disk"} },"big": 18446744073709551615 }`
	}
	for name, tt := range map[string]struct{ disk, five, six string }{
		"first":   {`{"has_write_cache":false, "backend_id":"b"}`, `{"backend_id":"b"}`, `{"has_write_cache":false, "backend_id":"b"}`},
		"between": {`{"pci_path":{} , "has_write_cache": true ,"x":[1]}`, `{"pci_path":{} , "x":[1]}`, `{"pci_path":{} , "has_write_cache": true ,"x":[1]}`},
		"last":    {`{"x":1 , "has_write_cache":true }`, `{"x":1 }`, `{"x":1 , "has_write_cache":true }`},
		"alone":   {`{ "has_write_cache":true}`, `{ }`, `{ "has_write_cache":true}`},
		"escaped": {`{"has\u005fwrite_cache":true,"x":1}`, `{"x":1}`, `{"has\u005fwrite_cache":true,"x":1}`},
		"none":    {`{ "x":1}`, `{ "x":1}`, `{ "has_write_cache":true,"x":1}`},
	} {
		const added = `{"has_write_cache":true,"backend_id" : "x"}`
		for version, want := range map[string]string{"5.0.0": spec(tt.five), "6.0.0": spec(tt.six), "7.1.0-rc.1": spec(tt.six)} {
			if version != "5.0.0" {
				want = strings.Replace(want, `{"backend_id" : "x"}`, added, 1)
			}
			if got := string(fitWriteCaches([]byte(spec(tt.disk)), version)); got != want {
				t.Errorf("%s for %s:\n%s, want\n%s", name, version, got, want)
			}
		}
	}
	for _, odd := range []string{"", "{", `{"components":3}`, `{"components":{"a":{"type":"nvme_disk","component":7}}}`, `{}`} {
		if got := string(fitWriteCaches([]byte(odd), "5.0.0")); got != odd {
			t.Errorf("%q became %q", odd, got)
		}
	}
}
