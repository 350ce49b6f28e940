package propolis

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

const instanceID = "4a1d8f5e-6a0b-4f7e-9c11-1f0a2b3c4d5e"

func TestReadInstance(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"instance":{"properties":{"id":"` + instanceID + `"},"state":"Creating"}}`,
		` {"new":[{"id":1}],"instance":{"state":"Running","x":{"state":"Failed"},"properties":{"name":"a","id":"` +
			instanceID + `","metadata":{"id":"other"}}}}` + "\n",
	} {
		if id, err := readInstance([]byte(body)); err != nil || id != uuid.MustParse(instanceID) {
			t.Errorf("%s: got %s, %v", body, id, err)
		}
	}
}

func TestReadInstanceRefuses(t *testing.T) {
	t.Parallel()
	const good = `{"instance":{"properties":{"id":"` + instanceID + `"},"state":"Running"}}`
	replace := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	for _, body := range []string{
		``, `null`, `[]`, `{}`, `"x"`, `{"instance":null}`, `{"instance":{}}`, `{"instance":[]}`, good + good, good[1:],
		`{"properties":{"id":"` + instanceID + `"},"state":"Running"}`,
		replace(`"instance"`, `"Instance"`), replace(`"id"`, `"ID"`), replace(`"properties"`, `"PROPERTIES"`),
		replace(`"id":`, `"id":"`+instanceID+`","id":`), replace(`"instance":`, `"instance":{},"instance":`),
		replace(`,"state":"Running"`, ``), replace(`"Running"`, `null`), replace(`"Running"`, `1`), replace(`Running`, `Exploded`),
		replace(`"`+instanceID+`"`, `null`), replace(`"`+instanceID+`"`, `7`), replace(`"`+instanceID+`"`, `["`+instanceID+`"]`),
		replace(instanceID, ``), replace(instanceID, "{"+instanceID+"}"), replace(instanceID, "urn:uuid:"+instanceID),
		replace(instanceID, strings.ReplaceAll(instanceID, "-", "")), replace(instanceID, strings.ToUpper(instanceID)),
		replace(instanceID, instanceID+" "), replace(instanceID, strings.Repeat("a", 1<<15)),
	} {
		if id, err := readInstance([]byte(body)); err == nil {
			t.Errorf("%s was read as %s", body, id)
		}
	}
}

func TestConformsInstance(t *testing.T) {
	t.Parallel()
	if id, err := readInstance(fixture(t, "pp_instance_get.json")); err != nil || id != uuid.MustParse(instanceID) {
		t.Errorf("got %s, %v", id, err)
	}
}

func FuzzInstanceAnswer(f *testing.F) {
	f.Add([]byte(`{"instance":{"properties":{"id":"` + instanceID + `"},"state":"Running"}}`))
	f.Add([]byte(`{"instance":{"properties":{"\u0069d":"\u0034a1d8f5e-6a0b-4f7e-9c11-1f0a2b3c4d5e"},"state":"Running"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if id, err := readInstance(body); err != nil && id != uuid.Nil {
			t.Errorf("%s with %v", id, err)
		}
	})
}
