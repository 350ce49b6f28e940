package process

import "path/filepath"

// Probe returns the isolation that zones below dir would have if this process ran the agent.
// It leaves nothing behind.
func Probe(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	iso, err := probe(dir)
	return iso.String(), err
}

// FindServer returns the path of the server's program, given its name in the configuration.
func FindServer(name string) (string, error) { return program(name) }
