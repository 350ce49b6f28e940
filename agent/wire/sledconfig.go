package wire

import (
	"bytes"
	"math"

	"github.com/sledagent/sledagent/agent/disposition"
)

// dispositionSince is the version of the API since which a sled configuration has an update
// disposition.
const dispositionSince = 49

// DecodeConfig decodes and validates a sled configuration (OmicronSledConfig) as it is at a
// version of the API. Its Body is as it was sent, and shares no memory with the request's.
// The error is an *Error.
func DecodeConfig(version uint64, body []byte) (disposition.Config, error) {
	c, b, err := decodeAs[struct {
		Generation uint64 `json:"generation"`
	}](version, "omicron_config_put", body)
	if err != nil {
		return disposition.Config{}, err
	}
	// The reference's generations are signed integers in its database.
	if b.Generation > math.MaxInt64 {
		return disposition.Config{}, c.Refuse("an integer from 0 to 9223372036854775807", "generation")
	}
	config := disposition.Config{APIVersion: version, Generation: b.Generation, Disposition: disposition.Available,
		Body: bytes.Clone(c.Text)}
	if version >= dispositionSince {
		value, _ := c.Tree.(map[string]any)["update_disposition"].(string)
		config.Disposition = disposition.Value(value)
	}
	return config, nil
}
