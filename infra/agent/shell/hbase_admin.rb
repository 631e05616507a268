# HBase administration for the agent: requests and replies as JSON lines, through HBase's own client.
#
# Started as `hbase org.jruby.Main hbase_admin.rb` by a user who may administer HBase, so nothing is installed beside
# HBase itself: the client's classes are those of the cluster's version (any 2.x), and its configuration decides how to
# log in. Ruby 2.5 (JRuby 9.2) is enough.
#
# The first line says {"ready": true, "hbase": version, "script_sha256": …}. A request is {"id": n, "do": name, …}; its
# reply is {"id": n, "ok": true, "result": {…}} or {"id": n, "ok": false, "exception": class, "message": text}. Every
# request has a thread of its own and replies come in any order. The process ends when its input ends (what is running
# then has ten seconds), so it never outlives the agent. Nothing but replies is written to standard output. Times are milliseconds since the epoch on this
# host's clock unless a name says otherwise; table names are "namespace:table", with or without "default:".
#
# Nothing is tried twice here beyond what HBase's client does by itself: whoever asks decides about that.

require 'java'
require 'json'
require 'digest'

# Replies have the real standard output to themselves; what libraries print goes to standard error.
REPLIES = java.io.FileOutputStream.new(java.io.FileDescriptor.out)
java.lang.System.setOut(java.lang.System.err)
$stdout = $stderr

java_import 'org.apache.hadoop.hbase.HBaseConfiguration'
java_import 'org.apache.hadoop.hbase.HConstants'
java_import 'org.apache.hadoop.hbase.NamespaceDescriptor'
java_import 'org.apache.hadoop.hbase.TableName'
java_import 'org.apache.hadoop.hbase.client.ColumnFamilyDescriptorBuilder'
java_import 'org.apache.hadoop.hbase.client.ConnectionFactory'
java_import 'org.apache.hadoop.hbase.client.Get'
java_import 'org.apache.hadoop.hbase.client.Put'
java_import 'org.apache.hadoop.hbase.client.Scan'
java_import 'org.apache.hadoop.hbase.client.SnapshotDescription'
java_import 'org.apache.hadoop.hbase.client.SnapshotType'
java_import 'org.apache.hadoop.hbase.client.TableDescriptorBuilder'
java_import 'org.apache.hadoop.hbase.util.VersionInfo'
java_import 'java.util.concurrent.Executors'
java_import 'java.util.concurrent.TimeUnit'

# The only tables that may be dropped, and the namespaces that are made when they are missing.
SCRATCH_PREFIX = 'understudy_scratch:'.freeze
OWN_NAMESPACES = %w[understudy understudy_scratch].freeze
DEFAULT_TIMEOUT_MS = 300_000
WARM_UP_MS = 20_000
LAST_REPLIES_SECONDS = 10
# How often a running snapshot is asked for: its end is known to a twentieth of its length, or to this.
SNAPSHOT_POLL_MS = 20

# A request that is refused before HBase is asked.
class Refused < StandardError
end

# Milliseconds since the epoch, as finely as this Java can tell.
def now_ms
  now = java.time.Instant.now
  now.getEpochSecond * 1000.0 + now.getNano / 1_000_000.0
end

# Text in which * and ? are wildcards, as a regular expression for Java.
def java_pattern(wildcards)
  quoted = wildcards.chars.map { |c| { '*' => '.*', '?' => '.' }[c] || java.util.regex.Pattern.quote(c) }
  java.util.regex.Pattern.compile(quoted.join)
end

def hex(bytes)
  String.from_java_bytes(bytes).unpack('H*').first
end

# What can be asked; each public method is one word of the vocabulary and takes the request.
class Vocabulary
  WORDS = %w[status tables describe boundaries list_snapshots snapshot delete_snapshot flush clone restore disable
             enable drop region_metrics count major_compact clock create_canary].freeze

  def initialize(configuration)
    @configuration = configuration
    @connection = ConnectionFactory.createConnection(configuration)
    @admin = @connection.getAdmin
  end

  # Versions, servers, and the settings that a copy depends on.
  def status(_request)
    metrics = @admin.getClusterMetrics
    settings = {
      'root' => @configuration.get('hbase.rootdir'),
      'snapshot_working_directory' => @configuration.get('hbase.snapshot.working.dir'),
      'rpc_timeout_ms' => @configuration.getInt('hbase.rpc.timeout', 60_000),
      'snapshot_ttl_seconds' => @configuration.getLong('hbase.master.snapshot.ttl', 0),
      'cleaner_ttl_ms' => @configuration.getLong('hbase.master.hfilecleaner.ttl', 300_000)
    }
    {
      'version' => metrics.getHBaseVersion, 'client_version' => VersionInfo.getVersion,
      'script_sha256' => SCRIPT_SHA256,
      'master' => metrics.getMasterName && metrics.getMasterName.getServerName,
      'servers' => metrics.getLiveServerMetrics.keySet.map(&:getServerName).sort,
      'dead_servers' => metrics.getDeadServerNames.map(&:getServerName).sort,
      'regions_in_transition' => metrics.getRegionStatesInTransition.size, 'settings' => settings
    }
  end

  # pattern: "namespace:table" with wildcards; system tables are left out.
  def tables(request)
    namespace, _, name = qualified(request.fetch('pattern')).partition(':')
    wanted = [java_pattern(namespace), java_pattern(name)]
    found = @admin.listTableDescriptors.select do |descriptor|
      table = descriptor.getTableName
      !table.isSystemTable && [table.getNamespaceAsString, table.getQualifierAsString].zip(wanted)
                                                                                    .all? { |t, p| p.matcher(t).matches }
    end
    { 'tables' => found.map { |descriptor| summary(descriptor) }.sort_by { |table| table['table'] } }
  end

  # table → the summary, its families and attributes as HBase writes them.
  def describe(request)
    descriptor = @admin.getDescriptor(table_name(request))
    families = descriptor.getColumnFamilies.map do |family|
      { 'name' => family.getNameAsString, 'attributes' => attributes_of(family),
        'configuration' => family.getConfiguration.to_a.map { |k, v| [k.to_s, v.to_s] }.to_h }
    end
    summary(descriptor).merge('families' => families, 'attributes' => attributes_of(descriptor))
  end

  # table → each region's encoded name, first and last key (hexadecimal), server and open sequence id.
  def boundaries(request)
    { 'regions' => locations(table_name(request)).map { |location| boundary(location) } }
  end

  # pattern (wildcards) of snapshots' names, all without one.
  def list_snapshots(request)
    pattern = java_pattern(request.fetch('pattern', '*'))
    { 'snapshots' => @admin.listSnapshots(pattern).map { |s| snapshot_facts(s) }.sort_by { |s| s['name'] } }
  end

  # table, name, type (FLUSH, SKIPFLUSH; a disabled table is taken as DISABLED), timeout_ms. asked_ms and done_ms are an
  # interval that holds every region's cut.
  def snapshot(request)
    table = table_name(request)
    type = @admin.isTableDisabled(table) ? 'DISABLED' : request.fetch('type', 'FLUSH')
    description = SnapshotDescription.new(request.fetch('name'), table, SnapshotType.valueOf(type))
    asked_ms = now_ms
    wait_for_snapshot(description, @admin.snapshotAsync(description), asked_ms, timeout_ms(request))
    done_ms = now_ms
    facts = @admin.listSnapshots(java_pattern(request.fetch('name'))).first
    raise Refused, 'the snapshot is finished but not listed' if facts.nil?

    snapshot_facts(facts).merge('asked_ms' => asked_ms, 'done_ms' => done_ms)
  end

  # name → whether it was there.
  def delete_snapshot(request)
    name = request.fetch('name')
    return { 'deleted' => false } if @admin.listSnapshots(java_pattern(name)).empty?

    @admin.deleteSnapshot(name)
    { 'deleted' => true }
  end

  def flush(request)
    @admin.flush(table_name(request))
    {}
  end

  # snapshot, table (must not be there), timeout_ms.
  def clone(request)
    ensure_namespace(table_name(request))
    finish(@admin.cloneSnapshotAsync(request.fetch('snapshot'), table_name(request)), request)
  end

  # snapshot, timeout_ms; its table must be disabled.
  def restore(request)
    finish(@admin.restoreSnapshotAsync(request.fetch('snapshot')), request)
  end

  def disable(request)
    table = table_name(request)
    return {} if @admin.isTableDisabled(table)

    finish(@admin.disableTableAsync(table), request)
  end

  def enable(request)
    table = table_name(request)
    return {} if @admin.isTableEnabled(table)

    finish(@admin.enableTableAsync(table), request)
  end

  # table (in the scratch namespace alone; disabled), timeout_ms → whether it was there.
  def drop(request)
    table = table_name(request)
    raise Refused, "only #{SCRATCH_PREFIX}… may be dropped" unless request['table'].start_with?(SCRATCH_PREFIX)
    return { 'dropped' => false } unless @admin.tableExists(table)

    finish(@admin.deleteTableAsync(table), request)
    { 'dropped' => true }
  end

  # table → live counters of each region from its server, and where and since which sequence id it is open. Servers tell
  # the size of a memstore in whole MiB.
  def region_metrics(request)
    table = table_name(request)
    @admin.getDescriptor(table) # raises when there is no such table
    asked_ms = now_ms
    open = locations(table)
    servers = open.map(&:getServerName).compact.uniq
    metrics = servers.flat_map { |server| @admin.getRegionMetrics(server, table).to_a }
    by_name = metrics.map { |m| [encoded_name(m.getRegionName), m] }.to_h
    regions = open.map { |location| live_region(location, by_name[location.getRegion.getEncodedName]) }
    { 'regions' => regions.sort_by { |region| region['region'] }, 'asked_ms' => asked_ms, 'done_ms' => now_ms }
  end

  # table, limit: reads at most that many whole rows, the first ones of every region.
  def count(request)
    limit = Integer(request.fetch('limit'))
    regions = @admin.getRegions(table_name(request)).to_a.reject { |region| region.isSplit || region.getReplicaId != 0 }
    share = [(limit.to_f / [regions.size, 1].max).ceil, 1].max
    rows = cells = visited = 0
    with_table(request) do |table|
      regions.each do |region|
        break if rows >= limit

        more_rows, more_cells = read_rows(table, region, [share, limit - rows].min)
        rows += more_rows
        cells += more_cells
        visited += 1
      end
    end
    { 'rows' => rows, 'cells' => cells, 'regions_read' => visited, 'regions' => regions.size }
  end

  # table; only asked for, it goes on in the background.
  def major_compact(request)
    @admin.majorCompact(table_name(request))
    {}
  end

  # table (the canary), samples → how far the clock of the canary's RegionServer is ahead of this host's. A put without a
  # time gets the server's, which lies between question and answer; of all samples the narrowest interval is taken.
  def clock(request)
    samples = Array.new(Integer(request.fetch('samples', 8))) { |number| clock_sample(request, number) }
    low_ms, high_ms = samples.min_by { |low, high| high - low }
    { 'offset_ms' => ((low_ms + high_ms) / 2).round(3), 'uncertainty_ms' => ((high_ms - low_ms) / 2).round(3),
      'samples' => samples.size }
  end

  # table: one family "c", one version; nothing happens when it is there.
  def create_canary(request)
    table = table_name(request)
    raise Refused, 'the canary is in the namespace understudy' unless table.getNamespaceAsString == 'understudy'
    return { 'created' => false } if @admin.tableExists(table)

    ensure_namespace(table)
    builder = TableDescriptorBuilder.newBuilder(table)
    builder.setColumnFamily(ColumnFamilyDescriptorBuilder.of('c'))
    finish(@admin.createTableAsync(builder.build), request)
    { 'created' => true }
  end

  private

  def qualified(name)
    name.include?(':') ? name : "default:#{name}"
  end

  def table_name(request)
    TableName.valueOf(request.fetch('table'))
  end

  def timeout_ms(request)
    Integer(request.fetch('timeout_ms', DEFAULT_TIMEOUT_MS))
  end

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

  def finish(future, request)
    future.get(timeout_ms(request), TimeUnit::MILLISECONDS)
    {}
  end

  def ensure_namespace(table)
    namespace = table.getNamespaceAsString
    return unless OWN_NAMESPACES.include?(namespace)
    return if @admin.listNamespaceDescriptors.any? { |found| found.getName == namespace }

    @admin.createNamespace(NamespaceDescriptor.create(namespace).build)
  rescue org.apache.hadoop.hbase.NamespaceExistException
    nil # another request was faster, which is as good
  end

  def summary(descriptor)
    table = descriptor.getTableName
    {
      'table' => qualified(table.getNameAsString), 'state' => state_of(table),
      'families_count' => descriptor.getColumnFamilyCount, 'regions_count' => @admin.getRegions(table).size,
      'read_only' => descriptor.isReadOnly, 'region_replication' => descriptor.getRegionReplication,
      'coprocessors' => descriptor.getCoprocessorDescriptors.map(&:getClassName).sort
    }
  end

  def state_of(table)
    return 'ENABLED' if @admin.isTableEnabled(table)

    @admin.isTableDisabled(table) ? 'DISABLED' : 'CHANGING'
  end

  def attributes_of(descriptor)
    descriptor.getValues.map { |key, value| [text_of(key.get), text_of(value.get)] }.to_h
  end

  def text_of(bytes)
    String.from_java_bytes(bytes).force_encoding('UTF-8').scrub
  end

  def snapshot_facts(description)
    {
      'name' => description.getName, 'table' => qualified(description.getTableNameAsString),
      'type' => description.getType.toString, 'owner' => description.getOwner,
      'creation_ms' => description.getCreationTime,
      'ttl_seconds' => description.respond_to?(:getTtl) ? [description.getTtl, 0].max : 0
    }
  end

  # Where each region is, read anew from the catalogue rather than remembered.
  def locations(table)
    locator = @connection.getRegionLocator(table)
    locator.clearRegionLocationCache if locator.respond_to?(:clearRegionLocationCache)
    locator.getAllRegionLocations.to_a.select { |location| location.getRegion.getReplicaId.zero? }
  ensure
    locator.close if locator
  end

  def boundary(location)
    region = location.getRegion
    { 'region' => region.getEncodedName, 'start' => hex(region.getStartKey), 'end' => hex(region.getEndKey),
      'server' => location.getServerName && location.getServerName.getServerName,
      'open_sequence_id' => location.getSeqNum }
  end

  def live_region(location, metrics)
    return boundary(location).merge('live' => false) if metrics.nil?

    boundary(location).merge(
      'live' => true, 'write_requests' => metrics.getWriteRequestCount,
      'memstore_bytes' => metrics.getMemStoreSize.get(org.apache.hadoop.hbase.Size::Unit::BYTE).to_i,
      'flushed_sequence_id' => metrics.getCompletedSequenceId, 'store_files' => metrics.getStoreFileCount
    )
  end

  def encoded_name(region_name)
    org.apache.hadoop.hbase.client.RegionInfo.encodeRegionName(region_name)
  end

  def with_table(request)
    table = @connection.getTable(table_name(request))
    yield table
  ensure
    table.close if table
  end

  def read_rows(table, region, limit)
    scan = Scan.new.withStartRow(region.getStartKey).withStopRow(region.getEndKey).setCaching([limit, 100].min)
    scanner = table.getScanner(scan)
    rows = cells = 0
    while rows < limit && (result = scanner.next)
      rows += 1
      cells += result.size
    end
    [rows, cells]
  ensure
    scanner.close if scanner
  end

  # The interval of the offset that one put shows; the server's time is cut to whole milliseconds.
  def clock_sample(request, number)
    row = "clock-#{number}-#{java.util.UUID.randomUUID}".to_java_bytes
    family = 'c'.to_java_bytes
    qualifier = 't'.to_java_bytes
    with_table(request) do |table|
      put = Put.new(row).addColumn(family, qualifier, row)
      asked_ms = now_ms
      table.put(put)
      answered_ms = now_ms
      stamp_ms = table.get(Get.new(row)).getColumnLatestCell(family, qualifier).getTimestamp
      table.delete(org.apache.hadoop.hbase.client.Delete.new(row))
      [stamp_ms - answered_ms, stamp_ms + 1 - asked_ms]
    end
  end
end

# Reads requests, lets each one run on its own thread, and writes replies whole.
class Conversation
  def initialize(vocabulary)
    @vocabulary = vocabulary
    @pool = Executors.newCachedThreadPool
    @writing = Mutex.new
  end

  def reply(message)
    line = "#{JSON.generate(message)}\n".to_java_bytes
    @writing.synchronize { REPLIES.write(line) }
  end

  def run
    reader = java.io.BufferedReader.new(java.io.InputStreamReader.new(java.lang.System.in, 'UTF-8'))
    while (line = reader.readLine)
      start(line)
    end
    @pool.shutdown
    @pool.awaitTermination(LAST_REPLIES_SECONDS, TimeUnit::SECONDS)
  end

  private

  # A method of its own, so that each thread has a request of its own.
  def start(line)
    request = JSON.parse(line)
    @pool.execute { answer(request) }
  rescue JSON::ParserError => error
    $stderr.puts("not a request: #{error.message[0, 200]}")
  end

  def answer(request)
    word = request['do']
    raise Refused, "#{word.inspect} is not in the vocabulary" unless Vocabulary::WORDS.include?(word)

    reply('id' => request['id'], 'ok' => true, 'result' => @vocabulary.public_send(word, request))
  rescue StandardError, java.lang.Throwable => error
    reply(failure(error).merge('id' => request['id'], 'ok' => false))
  end

  # The exception that matters: wrappers of futures and of remote calls are taken off, and the server's stack is cut.
  def failure(error)
    error = error.getCause while error.is_a?(java.util.concurrent.ExecutionException) && error.getCause
    error = error.unwrapRemoteException if error.is_a?(org.apache.hadoop.ipc.RemoteException)
    java_error = error.is_a?(java.lang.Throwable)
    text = java_error ? error.getMessage || error.toString : error.message
    { 'exception' => java_error ? error.java_class.simple_name : error.class.name,
      'message' => text.to_s.split("\n\tat ").first.to_s[0, 2000] }
  end
end

# Connects, so that the first real request finds everything loaded; a cluster that is down delays this only so long.
def warm_up(vocabulary)
  warmed = java.util.concurrent.FutureTask.new { vocabulary.list_snapshots('pattern' => 'none') && nil }
  thread = java.lang.Thread.new(warmed)
  thread.setDaemon(true)
  thread.start
  warmed.get(WARM_UP_MS, TimeUnit::MILLISECONDS)
  true
rescue java.lang.Throwable => error
  $stderr.puts("HBase does not answer yet: #{error}")
  false
end

SCRIPT_SHA256 = Digest::SHA256.file(File.expand_path(__FILE__)).hexdigest
vocabulary = Vocabulary.new(HBaseConfiguration.create)
reachable = warm_up(vocabulary)
conversation = Conversation.new(vocabulary)
conversation.reply('ready' => true, 'hbase' => VersionInfo.getVersion, 'script_sha256' => SCRIPT_SHA256,
                   'reachable' => reachable)
conversation.run
$stderr.flush
# Not exit: threads that wait for HBase must not keep a process without an owner alive.
java.lang.Runtime.getRuntime.halt(0)
