# HBase administration for the agent: requests and replies as JSON lines, through HBase's own client.
#
# Started as `hbase org.jruby.Main hbase_admin.rb` by a user who may administer HBase, so nothing is installed beside
# HBase itself: the client's classes are those of the cluster's version (any 2.x), and its configuration decides how to
# log in. Ruby 2.5 (JRuby 9.2) is enough.
#
# The first line says {"ready": true, "hbase": version, "script_sha256": …}. A request is {"id": n, "do": name, …}; its
# reply is {"id": n, "ok": true, "result": {…}} or {"id": n, "ok": false, "exception": class, "message": text}. Every
# request has a thread of its own and replies come in any order. The process ends when its input ends (what is running
# then has ten seconds), so it never outlives the agent. Nothing but replies is written to standard output. Times are
# milliseconds since the epoch on this host's clock unless a name says otherwise; table names are "namespace:table", with
# or without "default:".
#
# The vocabulary is in hbase_admin_tables.rb, …_snapshots.rb, …_regions.rb and …_conditions.rb; the administrator's
# set-up script puts all of it into one file, this one last.
#
# Nothing is tried twice here beyond what HBase's client does by itself: whoever asks decides about that.

require 'java'
require 'json'

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

# What may be changed: whoever may start this cannot do more with it than Understudy does. Tables are cloned to, disabled
# and dropped in the scratch namespace, written to in the canary's, and otherwise flushed and read; snapshots are taken
# and deleted under the product's names.
SCRATCH_NAMESPACE = 'understudy_scratch'.freeze
CANARY_NAMESPACE = 'understudy'.freeze
SNAPSHOT_PREFIX = 'us-'.freeze
# Nothing else: HBase's master takes a name for a path, and us-x/../theirs would lead to somebody else's snapshot.
OWN_SNAPSHOT = /\A#{SNAPSHOT_PREFIX}[\p{Word}.-]+\z/.freeze
MOST_SAMPLES = 100
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

# Text in which * and ? are wildcards, as a regular expression for Java. What stands between two stars is taken where it
# is found first, and is looked for nowhere else, (?>…): with a dozen stars, to try all places would take for ever.
def java_pattern(wildcards)
  first, *others = wildcards.split('*', -1).map do |part|
    part.chars.map { |c| c == '?' ? '.' : java.util.regex.Pattern.quote(c) }.join
  end
  last = others.pop
  between = others.map { |part| "(?>.*?#{part})" }.join
  java.util.regex.Pattern.compile("#{first}#{between}#{".*#{last}" if last}", java.util.regex.Pattern::DOTALL)
end

def hex(bytes)
  String.from_java_bytes(bytes).unpack('H*').first
end

# What can be asked: each word is a public method and takes the request.
class Vocabulary
  include HBaseTables
  include HBaseSnapshots
  include HBaseRegions
  include HBaseConditions

  WORDS = %w[status tables list_snapshots find_snapshot snapshot delete_snapshot flush clone disable drop region_metrics count clock
             create_canary clone_conditions].freeze

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

  private

  def qualified(name)
    name.include?(':') ? name : "default:#{name}"
  end

  def table_name(request)
    TableName.valueOf(request.fetch('table'))
  end

  # The table of a request that changes it: only one of the product's own.
  def own_table_name(request, namespace)
    table = table_name(request)
    return table if table.getNamespaceAsString == namespace

    raise Refused, "#{request['do']}: #{qualified(request['table'])} is not in the namespace #{namespace}"
  end

  def own_snapshot_name(request, field = 'name')
    name = request.fetch(field)
    return name if name.is_a?(String) && OWN_SNAPSHOT.match(name)

    raise Refused, "#{request['do']}: #{name.inspect} is not a snapshot's name that begins with #{SNAPSHOT_PREFIX}"
  end

  def timeout_ms(request)
    Integer(request.fetch('timeout_ms', DEFAULT_TIMEOUT_MS))
  end

  def finish(future, request)
    future.get(timeout_ms(request), TimeUnit::MILLISECONDS)
    {}
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
    raise JSON::ParserError, 'it is no object' unless request.is_a?(Hash)

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
  warmed = java.util.concurrent.FutureTask.new { vocabulary.find_snapshot('name' => 'none', 'table' => 'none') && nil }
  thread = java.lang.Thread.new(warmed)
  thread.setDaemon(true)
  thread.start
  warmed.get(WARM_UP_MS, TimeUnit::MILLISECONDS)
  true
rescue java.lang.Throwable => error
  $stderr.puts("HBase does not answer yet: #{error}")
  false
end

# By Java, because Ruby's digest takes half a second to load.
SCRIPT_SHA256 = hex(java.security.MessageDigest.getInstance('SHA-256').digest(
                      java.nio.file.Files.readAllBytes(java.nio.file.Paths.get(File.expand_path(__FILE__)))))
vocabulary = Vocabulary.new(HBaseConfiguration.create)
reachable = warm_up(vocabulary)
conversation = Conversation.new(vocabulary)
conversation.reply('ready' => true, 'hbase' => VersionInfo.getVersion, 'script_sha256' => SCRIPT_SHA256,
                   'reachable' => reachable)
conversation.run
$stderr.flush
# Not exit: threads that wait for HBase must not keep a process without an owner alive.
java.lang.Runtime.getRuntime.halt(0)
