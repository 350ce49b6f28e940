package ledger

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"github.com/sledagent/sledagent/agent/vmm"
)

// benchPath returns a path on the disk of this repository, since a temporary
// directory may be in memory.
func benchPath(b *testing.B, name string) string {
	b.Helper()
	dir, err := os.MkdirTemp(".", "bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			b.Error(err)
		}
	})
	return filepath.Join(dir, name)
}

// BenchmarkSave measures the cost of a durable save: with the ledger, with bbolt's
// batches of the same bytes, and, as the floor, with one write and sync of a file each.
func BenchmarkSave(b *testing.B) {
	for _, savers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("savers=%d", savers), func(b *testing.B) {
			b.Run("ledger", func(b *testing.B) { benchLedger(b, savers) })
			b.Run("bbolt", func(b *testing.B) { benchBatch(b, savers) })
		})
	}
	b.Run("floor", func(b *testing.B) { syncAll(b, b.N) })
}

// inParallel divides b.N calls among savers.
func inParallel(b *testing.B, savers int, save func(saver, nth int) error) {
	b.Helper()
	b.ResetTimer()
	var all sync.WaitGroup
	for s := range savers {
		all.Go(func() {
			for n := s; n < b.N; n += savers {
				if err := save(s, n); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "saves/s")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/floor(b).Seconds(), "floors/save")
}

// floor measures how long one write of a state with its sync takes at present: the
// speed of shared disks varies.
func floor(b *testing.B) time.Duration {
	b.Helper()
	const writes = 200
	begun := time.Now()
	syncAll(b, writes)
	return time.Since(begun) / writes
}

func benchLedger(b *testing.B, savers int) {
	commits := 0
	l := opened(b, benchPath(b, FileName), Options{BeforeCommit: func() error { commits++; return nil }})
	saveAll(b, l, savers)
	commits = 0
	e := stopping(time.Now().Add(time.Hour))
	inParallel(b, savers, func(saver, _ int) error { return <-l.Save(vmmID(saver), e) })
	closed(b, l)
	b.ReportMetric(float64(b.N)/float64(commits), "saves/commit")
}

// saveAll registers VMMs, with a registration of 18 KiB each.
func saveAll(b *testing.B, l *Ledger, vmms int) {
	b.Helper()
	var all []<-chan error
	for n := range vmms {
		all = append(all, l.Save(vmmID(n), numbered(n, 1, 13<<10)))
	}
	for _, done := range all {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

func benchBatch(b *testing.B, savers int) {
	db, err := bolt.Open(benchPath(b, "bare.db"), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() }) // the file is removed anyway
	value := benchState(b)
	err = db.Update(func(tx *bolt.Tx) error {
		for n := range savers {
			bucket, err := tx.CreateBucket([]byte(vmmID(n).String()))
			if err != nil {
				return err
			}
			if err := bucket.Put([]byte("registration"), make([]byte, 18<<10)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	put := db.Batch
	if savers == 1 {
		put = db.Update // Batch would wait for other callers
	}
	inParallel(b, savers, func(saver, _ int) error {
		return put(func(tx *bolt.Tx) error {
			return tx.Bucket([]byte(vmmID(saver).String())).Put([]byte("state"), value)
		})
	})
}

func benchState(b *testing.B) []byte {
	b.Helper()
	now := time.Now()
	value, err := encodeState(stopping(now), now, time.Hour, uuid.NewString())
	if err != nil {
		b.Fatal(err)
	}
	return value
}

func syncAll(b *testing.B, writes int) {
	b.Helper()
	f, err := os.Create(benchPath(b, "plain"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() }) // the file is removed anyway
	value := benchState(b)
	for range writes {
		if _, err := f.WriteAt(value, 0); err != nil {
			b.Fatal(err)
		}
		if err := datasync(f); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRestart measures how long loading 1,000 VMMs takes, and for comparison
// reading the file and decoding its JSON.
func BenchmarkRestart(b *testing.B) {
	const vmms = 1000
	path := benchPath(b, FileName)
	l := opened(b, path, Options{})
	saveAll(b, l, vmms)
	closed(b, l)
	b.Run("ledger", func(b *testing.B) {
		for b.Loop() {
			l, err := Open(path, Options{})
			if err != nil {
				b.Fatal(err)
			}
			all, err := load(l, vmm.Limits{})
			if err != nil || len(all) != vmms {
				b.Fatal(len(all), err)
			}
			closed(b, l)
		}
	})
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			file, err := os.ReadFile(path)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(file)))
		}
	})
	b.Run("json", func(b *testing.B) {
		data, err := encodeRegistration(numbered(1, 1, 13<<10).Registration)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			for range vmms {
				var doc registrationDoc
				if err := json.Unmarshal(data, &doc); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
