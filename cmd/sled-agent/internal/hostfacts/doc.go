// Package hostfacts reads what the inventory says of the host's hardware.
package hostfacts
