package server_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/sledagent/sledagent/internal/contract"
	"github.com/sledagent/sledagent/propolis/server"
)

func TestDocument(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.json")
	if err == nil {
		err = doc.Validate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	contract.Agrees(t, "openapi.json", "propolis-server.json")
}

// The contract's request fixtures are accepted.
func TestFixtures(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pp_ensure_spec.json", "pp_ensure_migration_target.json"} {
		body, err := os.ReadFile(contract.Path(t, filepath.Join("fixtures", name)))
		if err != nil {
			t.Fatal(err)
		}
		c := inProcess(t, server.Options{})
		c.Want(c.Call("PUT", "/instance", string(body)), "Created")
		c.Want(c.Call("GET", "/instance", ""), "OK")
		c.Want(c.Call("GET", "/instance/spec", ""), "OK")
	}
}
