package propolis

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/plain"
)

// Instance returns the id of the instance whose VM the server has or is making: the id in
// its Ensure. After AlreadyInitialized it identifies that VM. A server without a VM is
// NoInstance.
func (c *Client) Instance(ctx context.Context) (uuid.UUID, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	k := call{op: "GET /instance", method: http.MethodGet, path: "/instance", want: http.StatusOK}
	body, err := c.do(ctx, k)
	if err != nil {
		return uuid.UUID{}, err
	}
	id, err := readInstance(body)
	if err != nil {
		return uuid.UUID{}, k.malformed(err)
	}
	return id, nil
}

// readInstance reads the id from an InstanceGetResponse. Names are case-sensitive and must
// be unique, and the id must have Propolis's form: an agent that takes another VM for its
// own would end it.
func readInstance(body []byte) (uuid.UUID, error) {
	at, err := whole(body)
	if err != nil {
		return uuid.UUID{}, err
	}
	instance, err := child(body, at, "instance")
	if err != nil {
		return uuid.UUID{}, err
	}
	var state State
	if err := textAt(body, instance, "state", (*string)(&state)); err != nil {
		return uuid.UUID{}, err
	}
	if !state.known() {
		return uuid.UUID{}, fmt.Errorf("unknown state %q", plain.Line(string(state), 64))
	}
	properties, err := child(body, instance, "properties")
	if err != nil {
		return uuid.UUID{}, err
	}
	var text string
	if err := textAt(body, properties, "id", &text); err != nil {
		return uuid.UUID{}, err
	}
	id, err := uuid.Parse(text)
	if err != nil || id.String() != text {
		return uuid.UUID{}, fmt.Errorf("instance id %q is not a UUID", plain.Line(text, 64))
	}
	return id, nil
}

// textAt reads the string at one key of the object at s.
func textAt(body []byte, s span, key string, text *string) error {
	at, err := child(body, s, key)
	if err != nil {
		return err
	}
	if body[at.start] != '"' {
		return fmt.Errorf("%s is not a string", key)
	}
	return json.Unmarshal(body[at.start:at.end], text)
}
