package cli

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// What is printed as YAML is what is printed as JSON, whatever the texts contain.
func TestYAMLIsTheJSON(t *testing.T) {
	t.Parallel()
	v := stuck()
	v.Hostname = "yes"
	v.Removal.LastError = "a: b # c\n\t\"d\" \x7f \u2028 \U0001f600 <&> 'e'"
	v.Reason, v.Zone, v.Addr = "0x10", "", "1e3"
	s := newSled(t, v)
	var fromYAML, fromJSON any
	if err := yaml.Unmarshal([]byte(s.must("vmm show yes -o yaml").out), &fromYAML); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(fromYAML)
	if err == nil {
		err = json.Unmarshal(again, &fromYAML)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(s.must("vmm show yes -o json").out), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON, fromYAML); diff != "" {
		t.Errorf("-JSON +YAML:\n%s", diff)
	}
}
