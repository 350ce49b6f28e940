package wire_test

import (
	"testing"

	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
)

func BenchmarkDecode(b *testing.B) {
	body := wiretest.Full()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeState(b *testing.B) {
	body := []byte(`{"state":{"type":"stopped"},"acpi_timeout_secs":null}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.DecodeState(body); err != nil {
			b.Fatal(err)
		}
	}
}
