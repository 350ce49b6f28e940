package ledger

// Fresh reports whether zones may exist that this ledger does not hold: no ledger was
// there when it was created, or it was rewritten after damage. Such a zone may belong
// to a VMM whose record was lost, and must not be removed as an orphan. A ledger stays
// fresh across restarts, until Settle.
func (l *Ledger) Fresh() bool { return l.fresh.Load() }

// Settle ends the fresh state. The caller has proof that the host has no zone that the
// ledger does not hold, or acts for an operator. Settle returns at once. If the agent
// exits before that is on disk, the ledger is fresh at the next start.
func (l *Ledger) Settle() {
	if !l.fresh.Swap(false) {
		return
	}
	l.mu.Lock()
	l.settling = true
	l.mu.Unlock()
	l.wake()
}

// Settle settles the ledger at path for an operator, and clears Lost. No agent may have
// it open.
func Settle(path string) error {
	d, err := openStore(path)
	if err != nil {
		return err
	}
	if d.damaged > 0 {
		return d.damage()
	}
	d.contents.fresh, d.contents.lost = "", ""
	if d.older > 0 {
		defer d.endedLog.forget()
		defer d.log.forget()
		return d.upgrade()
	}
	defer d.log.forget()
	return d.rewrite(d.contents)
}
