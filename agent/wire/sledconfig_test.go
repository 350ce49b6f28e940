package wire_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/wire"
)

// What is recorded is what was sent, to the byte.
func TestRecordedBodies(t *testing.T) {
	t.Parallel()
	const text = "{ \"rules\":[{\"priority\":1e0}],\n\t\"vni\":7, \"zones\":{\"\\u0061\":1.0}, \"disks\":{},\"datasets\":{} ,\"generation\":3 }"
	body := []byte(text + " ignored")
	config, err := wire.DecodeConfig(1, body)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := wire.Body[json.RawMessage]("vpc_firewall_rules_put")(body)
	if err != nil {
		t.Fatal(err)
	}
	copy(body, bytes.Repeat([]byte("x"), len(body)))
	if string(config.Body) != text || string(rules) != text {
		t.Errorf("got %s and %s", config.Body, rules)
	}
}

// A sled configuration is checked against the document of its version.
func TestConfigOfVersions(t *testing.T) {
	t.Parallel()
	const all = `{"generation":3,"datasets":{},"disks":{},"zones":{},"measurements":[],"update_disposition":"evacuating"}`
	for member, since := range map[string]uint64{`"measurements":[],`: 14, `,"update_disposition":"evacuating"`: 49, "": wire.Newest + 1} {
		for version := range uint64(wire.Newest + 1) {
			config, err := wire.DecodeConfig(version, []byte(strings.Replace(all, member, "", 1)))
			if (err != nil) != (version >= since) || err == nil && (config.Generation != 3 || config.APIVersion != version ||
				(config.Disposition == disposition.Evacuating) != (version >= 49)) {
				t.Errorf("without %s at %d: %+v, %v", member, version, config, err)
			}
		}
	}
}
