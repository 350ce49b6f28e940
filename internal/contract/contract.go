// Package contract finds the API documents and recorded bodies of Nexus and Propolis,
// which are not part of this tree. It is for tests, which import it.
package contract

import (
	"os"
	"path/filepath"
	"testing"
)

// env names the directory that has them. CI sets it.
const env = "SLEDAGENT_CONTRACT"

// Dir returns the directory, or "" if none is given.
func Dir() string { return os.Getenv(env) }

// Path returns the path of a file in the directory. The test is skipped without one.
func Path(t testing.TB, name string) string {
	t.Helper()
	if Dir() == "" {
		t.Skip(env + " names no directory with the contract")
	}
	return filepath.Join(Dir(), name)
}

// Fixtures returns the recorded bodies whose names match a pattern. The test fails if
// there are none.
func Fixtures(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(Path(t, filepath.Join("fixtures", pattern)))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s in %s: %v", pattern, Dir(), err)
	}
	return files
}
