package admin

import (
	"errors"
	"os/user"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestUserNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		var asked atomic.Int32
		u := newUsers()
		u.lookup = func(uid string) (*user.User, error) {
			asked.Add(1)
			switch uid {
			case "1":
				return &user.User{Username: "alice"}, nil
			case "2":
				return &user.User{Username: "an\x1b unusually long name of a user, which a directory has"}, nil
			case "3":
				<-hang
				return &user.User{Username: "late"}, nil
			}
			return nil, errors.New("no such user")
		}
		for _, c := range []struct {
			uid  int
			want string
		}{{1, "alice"}, {1, "alice"}, {2, "an? unusually long name of a ..."}, {7, "uid 7"}, {3, "uid 3"}, {8, "uid 8"}, {1, "alice"}} {
			begun := time.Now()
			if got := u.name(c.uid); got != c.want || len(got) > maxUserName {
				t.Errorf("user %d is %q, want %q", c.uid, got, c.want)
			}
			if took := time.Since(begun); took > lookupBudget {
				t.Errorf("the name of user %d took %s", c.uid, took)
			}
		}
		if n := asked.Load(); n != 4 {
			t.Errorf("%d lookups, want one for each of 1, 2, 7 and 3", n)
		}
		close(hang)
		synctest.Wait()
		if got := u.name(3); got != "late" {
			t.Errorf("after its lookup has ended, user 3 is %q", got)
		}
	})
}
