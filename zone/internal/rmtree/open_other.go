//go:build !linux

package rmtree

func openBelow(parent int, name string) (int, error) { return openSame(parent, name) }

// MountIn returns nothing here. Mount points are found when they are to be removed.
func MountIn(string) (string, error) { return "", nil }
