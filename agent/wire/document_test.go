package wire_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/internal/contract"
)

func documentAt(t *testing.T, version uint64) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(wire.DocumentAt(version))
	if err != nil {
		t.Fatalf("version %d: %v", version, err)
	}
	return doc
}

func TestDocumentsAreValid(t *testing.T) {
	t.Parallel()
	for _, s := range shapes {
		if err := documentAt(t, s.first).Validate(t.Context()); err != nil {
			t.Errorf("version %d: %v", s.first, err)
		}
	}
}

// deliberate are the differences from the contract's documents:
//   - a VMM that has ended cannot be registered;
//   - a filter of all ICMP may have no value, which the reference accepts too;
//   - a stop has a query, and states have the time of a soft stop;
//   - what is inside of the inventory's members is not described.
var deliberate = regexp.MustCompile(`^(-vmm_register body\.vmm_runtime\.state may be (failed|destroyed)` +
	`|-vmm_register body\.local_config\.firewall_rules\[\]\.filter_protocols\[\]<icmp6?>\.value is required` +
	`|\+vmm_put_state (query grace|body\.acpi_timeout_secs).*` +
	`|[+-]inventory 200 application/json\.\w+(: .*| may be .*|[.<\[].*))$`)

func TestDocumentsAgreeWithTheContract(t *testing.T) {
	t.Parallel()
	for _, s := range shapes {
		name := fmt.Sprintf("older/sled-agent-%d.json", s.first)
		if s.last == wire.Newest {
			name = "sled-agent-vmm.json"
		}
		text, err := os.ReadFile(contract.Path(t, name))
		if err != nil {
			t.Fatal(err)
		}
		real, err := openapi3.NewLoader().LoadFromData(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range contract.Differ(documentAt(t, s.first), real) {
			if !deliberate.MatchString(line) {
				t.Errorf("version %d: %s", s.first, line)
			}
		}
		var body any
		if err := json.Unmarshal(fixture(t, s.first), &body); err != nil {
			t.Fatal(err)
		}
		schema := real.Paths.Value("/vmms/{propolis_id}").Put.RequestBody.Value.Content["application/json"].Schema.Value
		// Some patterns are not of Go's regexp, and without them an item of a oneOf of strings
		// matches twice.
		for _, name := range []string{"IpNet", "SpecKey"} {
			real.Components.Schemas[name].Value.OneOf = nil
		}
		if err := schema.VisitJSON(body, openapi3.DisablePatternValidation()); err != nil {
			t.Errorf("the registration of version %d: %v", s.first, err)
		}
	}
}
