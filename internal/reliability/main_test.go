package reliability

import (
	"context"
	"testing"

	"go.uber.org/goleak"
)

// Pebble leaves a goroutine behind where opening it fails.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2.(*ConcurrencyLimitScheduler).periodicGranter"))
}

var ctx = context.Background()
