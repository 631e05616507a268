# What happens to tables beside writing; loaded into the console of hbase_console.rb.
java_import 'org.apache.hadoop.hbase.KeyValue'
java_import 'org.apache.hadoop.hbase.NamespaceDescriptor'
java_import 'org.apache.hadoop.hbase.io.hfile.HFile'

JUST_MS = 20

def create_namespace(name)
  $admin.createNamespace(NamespaceDescriptor.create(name).build)
end

def drop_namespaces(mark)
  $admin.listNamespaces.select { |name| name.include?(mark) }.each { |name| $admin.deleteNamespace(name) }
end

def descriptor(name)
  $admin.getDescriptor(TableName.valueOf(name))
end

# Sets attributes of the table, and of families (made where they are not there).
def alter(name, families, attributes = {})
  builder = TableDescriptorBuilder.newBuilder(descriptor(name))
  attributes.each { |key, value| builder.setValue(key, value) }
  families.each do |family, options|
    known = descriptor(name).getColumnFamily(bytes(family))
    known ? builder.modifyColumnFamily(changed(known, options)) : builder.setColumnFamily(column(family, options))
  end
  $admin.modifyTable(builder.build)
end

def changed(family, options)
  builder = ColumnFamilyDescriptorBuilder.newBuilder(family)
  options.each { |key, value| builder.setValue(key, value) }
  builder.build
end

def drop_family(name, family)
  $admin.deleteColumnFamily(TableName.valueOf(name), bytes(family))
end

# Lets nothing expire, so that everything that a clone's files hold can be seen.
def keep_for_ever(name)
  families = descriptor(name).getColumnFamilyNames.map { |family| String.from_java_bytes(family).force_encoding('UTF-8') }
  alter(name, families.to_h { |family| [family, { 'TTL' => '2147483647' }] })
end

def truncate(name, keeps_splits)
  $admin.disableTable(TableName.valueOf(name))
  $admin.truncateTable(TableName.valueOf(name), keeps_splits)
end

# Sets a table back to what a snapshot of it holds.
def restore(name, snapshot)
  $admin.disableTable(TableName.valueOf(name))
  $admin.restoreSnapshot(snapshot)
  $admin.enableTable(TableName.valueOf(name))
end

# Merges the region that holds a row with the next one.
def merge(name, row)
  $admin.compactionSwitch(false, [])
  regions = $admin.getRegions(TableName.valueOf(name)).to_a
  first = regions.index { |region| region.containsRow(bytes(row)) }
  names = regions[first, 2].map(&:getEncodedNameAsBytes).to_java(Java::byte[])
  $admin.mergeRegionsAsync(names, false).get
end

# Whether RegionServers compact by themselves from now on; ends with whether they did.
def allow_compactions(allowed)
  $admin.compactionSwitch(allowed, []).values.all?
end

# Closes every region and opens it again, as when it moves: what was compacted away goes to the archive.
def reopen(name)
  $admin.getRegions(TableName.valueOf(name)).each do |region|
    $admin.unassign(region.getRegionName)
    $admin.assign(region.getRegionName)
  end
  sleep 0.1 until $admin.isTableAvailable(TableName.valueOf(name))
end

# Closes the region that holds a row and opens it again, as when it moves.
def move(name, row)
  region = $admin.getRegions(TableName.valueOf(name)).find { |one| one.containsRow(bytes(row)) }
  $admin.unassign(region.getRegionName)
  $admin.assign(region.getRegionName)
end

# One file with the rows "prefix-00000" … of one family, loaded into the table.
def bulk_load(name, family, prefix, count)
  directory = org.apache.hadoop.fs.Path.new("/tmp/#{name.tr(':', '_')}-#{prefix}")
  path = org.apache.hadoop.fs.Path.new(directory, "#{family}/#{'b' * 32}")
  files = path.getFileSystem($connection.getConfiguration)
  write_hfile(files, path, family, prefix, count)
  org.apache.hadoop.hbase.tool.BulkLoadHFiles.create($connection.getConfiguration).bulkLoad(TableName.valueOf(name), directory)
ensure
  files.delete(directory, true) if files
end

def write_hfile(files, path, family, prefix, count)
  context = org.apache.hadoop.hbase.io.hfile.HFileContextBuilder.new.build
  writer = HFile.getWriterFactoryNoCache($connection.getConfiguration).withPath(files, path).withFileContext(context).create
  now = java.lang.System.currentTimeMillis
  count.times do |number|
    row = format('%s-%05d', prefix, number)
    writer.append(KeyValue.new(bytes(row), bytes(family), bytes('q'), now, bytes("bulk #{row}")))
  end
ensure
  writer.close if writer
end

# Puts one cell of random bytes a row.
def fill_large(name, family, rows, size)
  random = java.util.Random.new(7)
  table = $connection.getTable(TableName.valueOf(name))
  rows.each do |row|
    value = Java::byte[size].new
    random.nextBytes(value)
    table.put(Put.new(bytes(row)).addColumn(bytes(family), bytes('q'), value))
  end
ensure
  table.close if table
end

# Cells of one row at given times.
def put_at(name, family, row, times)
  table = $connection.getTable(TableName.valueOf(name))
  times.each { |at| table.put(Put.new(bytes(row)).addColumn(bytes(family), bytes('q'), at, bytes("as of #{at}"))) }
ensure
  table.close if table
end

def delete_row(name, row)
  $connection.getTable(TableName.valueOf(name)).delete(Delete.new(bytes(row)))
end

# Writes rows over and over, and new ones, until it is told to end: a writer for each of the prefixes, which are to lie
# in different regions. Ends with how many puts each has made.
def begin_load(name, families, prefixes)
  $loading = true
  $load = prefixes.map { |prefix| Thread.new { write_on(name, families, prefix) } }
end

def write_on(name, families, prefix)
  puts = 0
  round = 0
  while $loading
    fill(name, families, "#{prefix}-again#{round % 3}", 20, 10)
    fill(name, families, "#{prefix}-new#{round}", 5, 10)
    puts += 25
    round += 1
  end
  puts
end

def end_load
  $loading = false
  $load.map(&:value)
end

$changes = []

# Does something a little before a moment, and does not wait for it.
def just_before(moment_ms, &change)
  $changes << Thread.new do
    sleep [(moment_ms - JUST_MS) / 1000.0 - Time.now.to_f, 0].max
    change.call
  end
end

# What has become of these: nil, or why it was refused.
def outcomes
  $changes.shift($changes.size).map { |change| outcome(change) }
end

def outcome(change)
  change.value
  nil
rescue StandardError, java.lang.Throwable => error
  "#{error.class}: #{error.message}".lines.first
end
