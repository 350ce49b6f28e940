package ledger

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/agent/vmm"
)

// FuzzDecodeState: a state that can be decoded can be encoded again without a change,
// and does not make the state machine panic.
func FuzzDecodeState(f *testing.F) {
	now := time.Unix(1772600000, 0)
	for _, e := range keptEntries() {
		data, err := encodeState(e, now, time.Hour, "this")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, rebooted, err := decodeState(data, now, time.Hour, "this", limits)
		if err != nil {
			return
		}
		again, err := encodeState(e, now, time.Hour, "this")
		if err != nil {
			t.Fatalf("%+v cannot be encoded: %v", e, err)
		}
		got, _, err := decodeState(again, now, time.Hour, "this", limits)
		if err != nil {
			t.Fatalf("%s cannot be decoded: %v", again, err)
		}
		if diff := cmp.Diff(e, got, sameEntry); diff != "" {
			t.Fatal(diff)
		}
		vmm.Step(e.State, vmm.Resumed{Rebooted: rebooted}, now)
	})
}

// FuzzDecodeRegistration: a registration that can be decoded can be encoded again, with
// an identical spec.
func FuzzDecodeRegistration(f *testing.F) {
	for _, e := range keptEntries() {
		data, err := encodeRegistration(e.Registration)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRegistration(data)
		if err != nil {
			return
		}
		again, err := encodeRegistration(r)
		if err != nil {
			t.Fatalf("%+v cannot be encoded: %v", r, err)
		}
		got, err := decodeRegistration(again)
		if err != nil {
			t.Fatalf("%s cannot be decoded: %v", again, err)
		}
		if !bytes.Equal(r.Spec, got.Spec) || got.PropolisAddr != r.PropolisAddr || got.InstanceID != r.InstanceID {
			t.Fatalf("%+v became %+v", r, got)
		}
	})
}

// FuzzLedger: no file makes the reader panic, and every loss is reported.
func FuzzLedger(f *testing.F) {
	s := newSample(f)
	f.Add(uint16(0), byte(1))
	f.Fuzz(func(t *testing.T, at uint16, by byte) {
		file := bytes.Clone(s.files[FileName])
		file[int(at)%len(file)] ^= by
		s.openDamaged(t, memory(t), file)
	})
}
