# Words about snapshots: take, list, delete, clone.
#
# A part of hbase_admin.rb, where the whole is described; every word takes its request.
module HBaseSnapshots
  # pattern (wildcards) of snapshots' names, all without one.
  def list_snapshots(request)
    pattern = java_pattern(request.fetch('pattern', '*'))
    { 'snapshots' => @admin.listSnapshots(pattern).map { |s| snapshot_facts(s) }.sort_by { |s| s['name'] } }
  end

  # name, table → whether the master has a finished snapshot of that name. Listing would make it read all that there are.
  def find_snapshot(request)
    description = SnapshotDescription.new(request.fetch('name'), table_name(request))
    { 'found' => @admin.isSnapshotFinished(description) }
  rescue org.apache.hadoop.hbase.snapshot.UnknownSnapshotException
    { 'found' => false }
  end

  # table, name (of the product's), type (FLUSH, SKIPFLUSH; a disabled table is taken as DISABLED), timeout_ms. asked_ms and done_ms are an
  # interval that holds every region's cut.
  def snapshot(request)
    table = table_name(request)
    type = @admin.isTableDisabled(table) ? 'DISABLED' : request.fetch('type', 'FLUSH')
    description = SnapshotDescription.new(own_snapshot_name(request), table, SnapshotType.valueOf(type))
    asked_ms = now_ms
    wait_for_snapshot(description, @admin.snapshotAsync(description), asked_ms, timeout_ms(request))
    { 'name' => request.fetch('name'), 'table' => qualified(table.getNameAsString), 'type' => type,
      'asked_ms' => asked_ms, 'done_ms' => now_ms }
  end

  # name (of the product's) → whether it was there.
  def delete_snapshot(request)
    @admin.deleteSnapshot(own_snapshot_name(request))
    { 'deleted' => true }
  rescue org.apache.hadoop.hbase.snapshot.SnapshotDoesNotExistException
    { 'deleted' => false }
  end

  # snapshot (of the product's), table (in the scratch namespace alone; must not be there), timeout_ms.
  def clone(request)
    snapshot = own_snapshot_name(request, 'snapshot')
    table = own_table_name(request, SCRATCH_NAMESPACE)
    ensure_namespace(table)
    finish(@admin.cloneSnapshotAsync(snapshot, table), request)
  end

  private

  # HBase's own waiting backs off up to seconds, which would widen the interval, so the end is looked for here; the
  # future tells a failure. Where snapshots are procedures (2.6 on), one that still runs is "unknown" to
  # isSnapshotFinished. In 2.0 there is no future, and isSnapshotFinished tells the failure.
  def wait_for_snapshot(description, future, asked_ms, limit_ms)
    waiter = future && Executors.newSingleThreadExecutor.tap { |pool| pool.execute { waiting(future, limit_ms) } }
    until finished?(description, future)
      waited_ms = now_ms - asked_ms
      raise java.util.concurrent.TimeoutException.new('the snapshot is not finished') if waited_ms > limit_ms

      sleep [SNAPSHOT_POLL_MS, waited_ms / 20].max / 1000.0
    end
  ensure
    waiter.shutdownNow if waiter
  end

  # HBase's futures make progress only while somebody waits for them; what they end with is asked for elsewhere.
  def waiting(future, limit_ms)
    future.get(limit_ms, TimeUnit::MILLISECONDS)
  rescue java.lang.Throwable
    nil
  end

  def finished?(description, future)
    if future && future.isDone
      future.get
      return true
    end
    @admin.isSnapshotFinished(description)
  rescue org.apache.hadoop.hbase.snapshot.UnknownSnapshotException
    raise if future.nil?

    false
  end

  def snapshot_facts(description)
    {
      'name' => description.getName, 'table' => qualified(description.getTableNameAsString),
      'type' => description.getType.toString, 'owner' => description.getOwner,
      'creation_ms' => description.getCreationTime,
      'ttl_seconds' => description.respond_to?(:getTtl) ? [description.getTtl, 0].max : 0
    }
  end
end
