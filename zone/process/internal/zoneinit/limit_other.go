//go:build !linux

package zoneinit

func limitTasks(int) {}
