//go:build !linux

package inits

// runSpawner does nothing: inits are started without a helper here.
func runSpawner() {}
