package nexussim

import (
	_ "embed"
	"encoding/json"
	"math"
	"net/http"
	"sync"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/dropshot"
)

// APIVersion is the newest supported version of the internal API.
const APIVersion = "1.0.0"

//go:embed openapi.json
var document []byte

var api = sync.OnceValue(func() *dropshot.API { return dropshot.Load(document) })

// A problem is an error answer. why is the reason, where the body contains only the
// status's text.
type problem struct {
	*dropshot.Error
	hidden string
}

func refusal(status int, message string) *problem {
	return &problem{Error: &dropshot.Error{Status: status, Message: message}}
}

// internal returns a server error, whose details the real server only logs.
func internal(why string) *problem {
	return &problem{Error: dropshot.Plain(http.StatusInternalServerError, "Internal"), hidden: ": " + why}
}

// readUpdate reads a request of the internal API. It returns what could be decoded and
// the first problem.
func readUpdate(r *http.Request) (id uuid.UUID, rec *vmm.Record, p *problem) {
	if _, bad := dropshot.RequestVersion(r.Header, dropshot.Version{1}); bad != nil {
		return id, nil, &problem{Error: bad}
	}
	op, vars, bad := api().Route(r)
	if bad != nil {
		return id, nil, &problem{Error: bad}
	}
	id = uuid.MustParse(vars[0])
	body, bad := op.Body(r)
	if bad != nil {
		return id, nil, &problem{Error: bad}
	}
	rec = new(vmm.Record)
	if err := json.Unmarshal(body, rec); err != nil {
		return id, nil, &problem{Error: dropshot.BadJSON(err.Error())}
	}
	greatest := rec.VMM.Gen
	for _, m := range []*vmm.Migration{rec.MigrationIn, rec.MigrationOut} {
		if m != nil {
			greatest = max(greatest, m.Gen)
		}
	}
	// Nexus's column is signed, so its maximum is half of the schema's.
	if greatest > math.MaxInt64 {
		return id, nil, &problem{Error: dropshot.BadJSON("generation number too large")}
	}
	return id, rec, nil
}
