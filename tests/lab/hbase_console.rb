# Runs Ruby with HBase's client for tests: a JSON line {"run": source} is answered by {"value": …} or {"error": text}.
require 'java'
require 'json'
require 'digest'

LONG_BYTES = 1000

replies = java.io.FileOutputStream.new(java.io.FileDescriptor.out)
java.lang.System.setOut(java.lang.System.err)
%w[HBaseConfiguration TableName].each { |name| java_import "org.apache.hadoop.hbase.#{name}" }
%w[ColumnFamilyDescriptorBuilder ConnectionFactory Put Delete SnapshotType TableDescriptorBuilder]
  .each { |name| java_import "org.apache.hadoop.hbase.client.#{name}" }

$connection = ConnectionFactory.createConnection(HBaseConfiguration.create)
$admin = $connection.getAdmin

def bytes(text)
  text.to_java_bytes
end

# Makes a table; families as {"name" => {"COMPRESSION" => "GZ", …}}, splits as texts, attributes of the table.
def create_table(name, families, splits, attributes = {})
  builder = TableDescriptorBuilder.newBuilder(TableName.valueOf(name))
  attributes.each { |key, value| builder.setValue(key, value) }
  families.each { |family, options| builder.setColumnFamily(column(family, options)) }
  keys = splits.map { |split| bytes(split) }.to_java(Java::byte[])
  splits.empty? ? $admin.createTable(builder.build) : $admin.createTable(builder.build, keys)
end

def column(family, options)
  builder = ColumnFamilyDescriptorBuilder.newBuilder(bytes(family))
  options.each { |key, value| builder.setValue(key, value) }
  builder.build
end

# Puts rows "prefix-00000" … with one cell a family.
def fill(name, families, prefix, count, size)
  table = $connection.getTable(TableName.valueOf(name))
  puts = Array.new(count) do |number|
    row = format('%s-%05d', prefix, number)
    families.each_with_object(Put.new(bytes(row))) { |f, put| put.addColumn(bytes(f), bytes('q'), bytes("#{row}/#{f} " * size)) }
  end
  table.put(java.util.ArrayList.new(puts))
ensure
  table.close if table
end

# Splits the region that holds a row, at that row, while nothing compacts; the daughters refer to the parent's files.
def split(name, row)
  $admin.compactionSwitch(false, [])
  location = $connection.getRegionLocator(TableName.valueOf(name)).getRegionLocation(bytes(row), true)
  $admin.splitRegionAsync(location.getRegion.getRegionName, bytes(row)).get
end

# Compacts and returns when it is done: each family of each region has one file at most, of its own.
def compact(name)
  $admin.compactionSwitch(true, [])
  table = TableName.valueOf(name)
  $admin.majorCompact(table)
  sleep 0.2 until $admin.getCompactionState(table).toString == 'NONE'
end

def disable(name)
  $admin.disableTable(TableName.valueOf(name))
end

def drop(name)
  table = TableName.valueOf(name)
  return unless $admin.tableExists(table)

  $admin.disableTable(table) if $admin.isTableEnabled(table)
  $admin.deleteTable(table)
end

# Every cell of every version, delete markers too, as text in order; of a long value its digest.
def scan(name)
  table = $connection.getTable(TableName.valueOf(name))
  scanner = table.getScanner(org.apache.hadoop.hbase.client.Scan.new.setRaw(true).readAllVersions)
  cells = []
  while (result = scanner.next)
    result.rawCells.each { |cell| cells << cell_text(cell) }
  end
  cells
ensure
  table.close if table
end

def cell_text(cell)
  row, family, qualifier, value = %w[Row Family Qualifier Value].map do |part|
    String.from_java_bytes(org.apache.hadoop.hbase.CellUtil.send("clone#{part}", cell)).force_encoding('UTF-8')
  end
  value = Digest::SHA256.hexdigest(value) if value.bytesize > LONG_BYTES
  "#{row}/#{family}:#{qualifier}@#{cell.getTimestamp} #{cell.getType}=#{value}"
end

replies.write("{}\n".to_java_bytes)
$stdin.each_line do |line|
  answer =
    begin
      value = eval(JSON.parse(line)['run'], TOPLEVEL_BINDING)
      { 'value' => [String, Integer, Float, Array, Hash, true, false].any? { |kind| kind === value } ? value : nil }
    rescue StandardError, java.lang.Throwable => error
      { 'error' => "#{error.class}: #{error.message}" }
    end
  replies.write("#{JSON.generate(answer)}\n".to_java_bytes)
end
java.lang.Runtime.getRuntime.halt(0)
