package publish

import (
	"encoding/json"
	"mime"
	"net/http"

	"github.com/google/uuid"
)

// A Verdict is what the answer to a PUT means.
type Verdict int

const (
	// CannotTell says nothing about the VMM: no answer or an incomplete one, 5xx (which
	// Nexus also returns for an unknown VMM), 408, 429, a status that this call does not
	// have, and a 4xx without the contract's error body, which comes from a proxy.
	CannotTell Verdict = iota
	// Acked: 204, Nexus has the record or a newer one.
	Acked
	// Unknown: 404 or 410 with the contract's error body. A 410 may also mean that a
	// migration in the record is deleted.
	Unknown
	// Refused: any other 4xx with the contract's error body, or a record that cannot be
	// encoded. Nexus will not accept this record.
	Refused
)

var verdicts = [...]string{CannotTell: "cannot tell", Acked: "acknowledged", Unknown: "unknown VMM", Refused: "refused"}

func (v Verdict) String() string { return verdicts[v] }

// verdictOf is the table of verdicts. Status 0 is no answer, and byNexus is whether the
// answer has the contract's error body.
func verdictOf(status int, byNexus bool) Verdict {
	switch {
	case status == http.StatusNoContent:
		return Acked
	case status < 400, status > 499, status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, !byNexus:
		return CannotTell
	case status == http.StatusNotFound, status == http.StatusGone:
		return Unknown
	default:
		return Refused
	}
}

// nexusError parses the contract's error body: a JSON object with the texts request_id,
// message and optionally error_code. It reports false for an ingress's own answer.
//
// Kong's answer for an unknown route has the same members; its request_id is 32
// hexadecimal digits, Nexus's a UUID with hyphens.
func nexusError(h http.Header, body []byte) (message string, ok bool) {
	if t, _, err := mime.ParseMediaType(h.Get("Content-Type")); err != nil || t != "application/json" {
		return "", false
	}
	var fields map[string]any // not a struct, whose names match in any case
	if err := json.Unmarshal(body, &fields); err != nil {
		return "", false
	}
	id, _ := fields["request_id"].(string)
	message, _ = fields["message"].(string)
	code, hasCode := fields["error_code"]
	_, textCode := code.(string)
	if id == "" || message == "" || hasCode && !textCode {
		return "", false
	}
	return message, len(id) != 32 || uuid.Validate(id) != nil
}
