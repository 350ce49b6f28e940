package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
)

func TestDecodeNamesTheDamagedField(t *testing.T) {
	t.Parallel()
	if _, err := decode(wiretest.Full()); err != nil {
		t.Fatalf("Decode of the undamaged body: %v", err)
	}
	all := wiretest.Damages()
	if len(all) < 1500 {
		t.Fatalf("only %d damages", len(all))
	}
	for _, d := range all {
		got, err := decode(d.Body)
		bad, ok := errors.AsType[*wire.Error](err)
		switch {
		case !ok:
			t.Errorf("%s (%s): error = %v", d.Path, d.How, err)
		case got != nil:
			t.Errorf("%s (%s): a registration with an error", d.Path, d.How)
		case !d.Named(bad.Path):
			t.Errorf("%s (%s): the error does not name the field: %v", d.Path, d.How, err)
		case len(err.Error()) > 700:
			t.Errorf("%s (%s): error of %d bytes", d.Path, d.How, len(err.Error()))
		}
	}
}

func TestUnknownKeysAreTolerated(t *testing.T) {
	t.Parallel()
	for _, at := range []string{`"metadata":{`, `"local_config":{`, `"dhcp_config":{`, `"vmm_runtime":{`, `"vmm_spec":{`, `"pci_path":{`} {
		var compact bytes.Buffer
		if err := json.Compact(&compact, wiretest.Full()); err != nil {
			t.Fatal(err)
		}
		body := strings.Replace(compact.String(), at, at+`"surplus":[{"deep":null}],`, 1)
		if body == compact.String() {
			t.Fatalf("%s is not in the body", at)
		}
		if _, err := decode([]byte(body)); err != nil {
			t.Errorf("unknown key in %s}: %v", at, err)
		}
	}
}
