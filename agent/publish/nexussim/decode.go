package nexussim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// The real server reads the body with serde, which is stricter than
// encoding/json in what matters here: names are case-sensitive, a known field
// may not come twice, and one that is required may be neither absent nor null.
// Unknown fields are skipped by both. Messages are modelled on serde's.

// decodeRecord reads the first JSON value of body; the rest is not looked at.
func decodeRecord(body []byte) (rec vmm.Record, err error) {
	var first json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&first); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("EOF while parsing a value")
		}
		return rec, err
	}
	fields, err := object(first, "vmm_state", "migration_in", "migration_out")
	if err != nil {
		return rec, err
	}
	if err := fields.required("", "vmm_state"); err != nil {
		return rec, err
	}
	if rec.VMM, err = decodeRuntime(fields["vmm_state"]); err != nil {
		return rec, err
	}
	if rec.MigrationIn, err = decodeMigration("migration_in", fields["migration_in"]); err != nil {
		return rec, err
	}
	rec.MigrationOut, err = decodeMigration("migration_out", fields["migration_out"])
	return rec, err
}

func decodeRuntime(raw json.RawMessage) (r vmm.Runtime, err error) {
	const at = "vmm_state"
	fields, err := object(raw, "state", "gen", "time_updated")
	if err != nil {
		return r, fmt.Errorf("%s: %w", at, err)
	}
	if err := fields.required(at, "state", "gen", "time_updated"); err != nil {
		return r, err
	}
	if r.State, err = variant(fields["state"], vmm.WireStates()); err != nil {
		return r, fmt.Errorf("%s.state: %w", at, err)
	}
	r.Gen, r.Updated, err = genAndTime(at, fields)
	return r, err
}

func decodeMigration(at string, raw json.RawMessage) (*vmm.Migration, error) {
	if raw == nil || isNull(raw) {
		return nil, nil
	}
	fields, err := object(raw, "migration_id", "state", "gen", "time_updated")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if err := fields.required(at, "migration_id", "state", "gen", "time_updated"); err != nil {
		return nil, err
	}
	var m vmm.Migration
	id, err := text(fields["migration_id"])
	if err == nil {
		m.ID, err = uuid.Parse(id)
	}
	if err != nil {
		return nil, fmt.Errorf("%s.migration_id: UUID parsing failed: %w", at, err)
	}
	states := []vmm.MigrationState{vmm.MigrationPending, vmm.MigrationInProgress, vmm.MigrationFailed, vmm.MigrationCompleted}
	if m.State, err = variant(fields["state"], states); err != nil {
		return nil, fmt.Errorf("%s.state: %w", at, err)
	}
	m.Gen, m.Updated, err = genAndTime(at, fields)
	return &m, err
}

func genAndTime(at string, fields members) (gen uint64, updated time.Time, err error) {
	if gen, err = generation(fields["gen"]); err != nil {
		return 0, time.Time{}, fmt.Errorf("%s.gen: %w", at, err)
	}
	s, err := text(fields["time_updated"])
	if err == nil {
		updated, err = time.Parse(time.RFC3339Nano, s)
	}
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("%s.time_updated: %w", at, err)
	}
	return gen, updated, nil
}

// members are an object's known fields as they were written.
type members map[string]json.RawMessage

// object reads a JSON object and keeps the fields of these names.
func object(raw json.RawMessage, names ...string) (members, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if first, err := dec.Token(); err != nil || first != json.Delim('{') {
		return nil, fmt.Errorf("invalid type: %s, expected an object", kind(raw))
	}
	out := members{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		for _, known := range names {
			if name != known {
				continue
			}
			if out[known] != nil {
				return nil, fmt.Errorf("duplicate field `%s`", known)
			}
			out[known] = value
		}
	}
	return out, nil
}

func (m members) required(at string, names ...string) error {
	for _, name := range names {
		if m[name] == nil {
			return errors.New(strings.TrimPrefix(at+": missing field `"+name+"`", ": "))
		}
	}
	return nil
}

func text(raw json.RawMessage) (s string, err error) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", fmt.Errorf("invalid type: %s, expected a string", kind(raw))
	}
	return s, json.Unmarshal(raw, &s)
}

func variant[T ~string](raw json.RawMessage, all []T) (T, error) {
	s, err := text(raw)
	if err != nil {
		return "", err
	}
	names := make([]string, 0, len(all))
	for _, v := range all {
		if string(v) == s {
			return v, nil
		}
		names = append(names, "`"+string(v)+"`")
	}
	return "", fmt.Errorf("unknown variant `%s`, expected one of %s", s, strings.Join(names, ", "))
}

// generation reads a whole number. Nexus's column is signed, which halves the
// range that the schema declares.
func generation(raw json.RawMessage) (uint64, error) {
	n, err := strconv.ParseUint(string(raw), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && n > math.MaxInt64:
		return 0, fmt.Errorf("invalid value: integer `%s`, generation number too large", raw)
	case err != nil:
		return 0, fmt.Errorf("invalid type: %s, expected u64", kind(raw))
	}
	return n, nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// kind names a JSON value as an error message does.
func kind(raw json.RawMessage) string {
	switch s := string(raw); {
	case s == "":
		return "nothing"
	case isNull(raw):
		return "null"
	case s == "true", s == "false":
		return "boolean `" + s + "`"
	case s[0] == '"':
		return "string " + s
	case s[0] == '{':
		return "map"
	case s[0] == '[':
		return "sequence"
	case strings.ContainsAny(s, ".eE"):
		return "floating point `" + s + "`"
	default:
		return "integer `" + s + "`"
	}
}
